// Package port hands out loopback ports for servers that can't choose one themselves.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range lies below those from which systems take the ports of outgoing connections: a port stays free while its
// server is being restarted.
const (
	low  = 18000
	high = 32000
)

var (
	mu    sync.Mutex
	taken = map[int]bool{}
)

// Take returns a port that was free just now and that this program was not given before. Another program may still be
// faster: a server that can't bind it has to be started with another one.
func Take() (int, error) {
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		p := low + rand.IntN(high-low)
		if !taken[p] && free(p) {
			taken[p] = true
			return p, nil
		}
	}
	return 0, errors.New("no free loopback port found")
}

func free(p int) bool {
	l, err := net.Listen("tcp", Address(p))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Give gives a port back.
func Give(p int) {
	mu.Lock()
	defer mu.Unlock()
	delete(taken, p)
}

// Address is the loopback address of a port.
func Address(p int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p)) }

// URL is the address as the base of a URL.
func URL(scheme string, p int) string { return fmt.Sprintf("%s://%s", scheme, Address(p)) }
