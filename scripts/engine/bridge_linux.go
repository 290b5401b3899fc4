package main

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bridge is the network device of the engine's default network, which no container here uses. It has to be one of its
// own: a dockerd that is told to do without removes docker0, the device of the machine's engine; and one that is told
// nothing uses it.
type bridge struct {
	name    string
	address [4]byte // with a netmask of 24 bits
}

// add makes the device, unless it is there, and gives it its address.
func (b bridge) add() error {
	return b.control(func(fd int) error {
		if err := b.call(fd, unix.SIOCBRADDBR); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("making the bridge %s: %w", b.name, err)
		}
		for _, set := range []struct {
			request uint
			value   [4]byte
		}{{unix.SIOCSIFADDR, b.address}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}}} {
			request, err := unix.NewIfreq(b.name)
			if err != nil {
				return err
			}
			if err := request.SetInet4Addr(set.value[:]); err != nil {
				return err
			}
			if err := unix.IoctlIfreq(fd, set.request, request); err != nil {
				return fmt.Errorf("giving the bridge %s its address: %w", b.name, err)
			}
		}
		return nil
	})
}

// remove takes the device away, if it is there.
func (b bridge) remove() error {
	return b.control(func(fd int) error {
		request, err := unix.NewIfreq(b.name)
		if err != nil {
			return err
		}
		// Only a device that is down, which no flags are, can be removed.
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); errors.Is(err, unix.ENODEV) {
			return nil
		} else if err != nil {
			return fmt.Errorf("taking the bridge %s down: %w", b.name, err)
		}
		if err := b.call(fd, unix.SIOCBRDELBR); err != nil && !errors.Is(err, unix.ENXIO) {
			return fmt.Errorf("removing the bridge %s: %w", b.name, err)
		}
		return nil
	})
}

func (b bridge) control(do func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(fd), unix.Close(fd))
}

// call is a request whose argument is the device's name.
func (b bridge) call(fd int, request uintptr) error {
	name, err := unix.BytePtrFromString(b.name)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(name))); errno != 0 {
		return errno
	}
	return nil
}

func (b bridge) device() string { return b.name }
