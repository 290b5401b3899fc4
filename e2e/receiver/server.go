package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/eventbaton/baton/e2e/port"
)

// Server is a Receiver with an address of its own, which can go down and come back.
type Server struct {
	*Receiver
	port int

	mu     sync.Mutex
	server *http.Server // nil while it is down
	wg     sync.WaitGroup
}

// Listen starts a receiver on a free loopback port.
func Listen() (*Server, error) {
	for try := 0; ; try++ {
		p, err := port.Take()
		if err != nil {
			return nil, err
		}
		s := &Server{Receiver: New(), port: p}
		err = s.Up()
		if err == nil {
			return s, nil
		}
		port.Give(p)
		if try == 20 {
			return nil, err
		}
	}
}

// URL is where sender has to post to.
func (s *Server) URL(sender string) string { return port.URL("http", s.port) + "/" + sender }

// Up answers again.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	l, err := net.Listen("tcp", port.Address(s.port))
	if err != nil {
		return fmt.Errorf("starting the receiver: %w", err)
	}
	server := &http.Server{Handler: s.Receiver}
	s.server = server
	s.wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.complain(err.Error())
		}
	})
	return nil
}

// Down closes the port and every connection.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	_ = s.server.Close()
	s.server = nil
	s.wg.Wait()
}

// Close ends the server for good.
func (s *Server) Close() {
	s.Down()
	port.Give(s.port)
}
