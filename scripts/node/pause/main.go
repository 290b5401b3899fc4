// Command pause is the process that holds a pod's namespaces: it does nothing, buries the orphans of a shared process
// namespace, and ends when it is told to, so that a pod is gone as soon as its containers are.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	wait(signals, reap)
}

// wait returns at the first signal that asks for an end.
func wait(signals <-chan os.Signal, reap func()) {
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap buries every child that has ended: one SIGCHLD may stand for several.
func reap() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}
