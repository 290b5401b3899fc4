package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

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

// Listen starts a receiver of webhooks on a free loopback port.
func Listen() (*Server, error) { return ListenFor(Protocol{Read: readWebhook}) }

// ListenFor starts a receiver of what comes by another protocol.
func ListenFor(protocol Protocol) (*Server, error) {
	for try := 0; ; try++ {
		p, err := port.Take()
		if err != nil {
			return nil, err
		}
		s := &Server{Receiver: NewFor(protocol), port: p}
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
			s.Complain(err.Error())
		}
	})
	return nil
}

// downTimeout is for the requests that are being answered when the server goes down.
const downTimeout = 500 * time.Millisecond

// Down closes the port and every connection. A request whose records it has taken is answered before: one that is taken
// and not answered has to be sent again, which would not be the sender's fault.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close() // of those that hang
	}
	s.server = nil
	s.wg.Wait()
}

// Close ends the server for good.
func (s *Server) Close() {
	s.Down()
	port.Give(s.port)
}
