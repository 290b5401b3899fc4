package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/eventbaton/baton/e2e/receiver"
)

// receiverCommand takes records at one address, at the path that is the sender's name, and tells of them at another: the
// first can be closed.
func receiverCommand(f *flag.FlagSet) func(context.Context, *http.ServeMux) error {
	records := f.String("records", ":8090", "the address for the records, each sender at a path of its own")
	return func(ctx context.Context, mux *http.ServeMux) error {
		d := &door{address: *records, senders: &senders{receivers: map[string]*receiver.Receiver{}}}
		mux.HandleFunc("GET /log/{sender}", func(w http.ResponseWriter, r *http.Request) {
			d.senders.of(r.PathValue("sender")).ServeLog(w, r)
		})
		mux.HandleFunc("POST /open", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.open(ctx)) })
		mux.HandleFunc("POST /close", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.close()) })
		if err := d.open(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return d.close()
	}
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// senders are receivers, one for each who has sent something or was asked for.
type senders struct {
	mu        sync.Mutex
	receivers map[string]*receiver.Receiver
}

func (s *senders) of(sender string) *receiver.Receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.receivers[sender]
	if r == nil {
		r = receiver.New()
		s.receivers[sender] = r
	}
	return r
}

// door is where the records come in.
type door struct {
	address string
	senders *senders

	mu     sync.Mutex
	server *http.Server // nil while it is closed
	failed chan error
}

// open listens, unless it does already.
func (d *door) open(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != nil {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.address)
	if err != nil {
		return fmt.Errorf("--records %s: %w", d.address, err)
	}
	d.address = listener.Addr().String() // the same again, where any was asked for
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{sender}", func(w http.ResponseWriter, r *http.Request) { d.senders.of(r.PathValue("sender")).ServeHTTP(w, r) })
	server, failed := &http.Server{Handler: mux, ReadHeaderTimeout: closing}, make(chan error, 1)
	d.server, d.failed = server, failed
	go func() { failed <- server.Serve(listener) }()
	return nil
}

// answering is how long requests whose records are taken may still take to be answered: one that is taken and not
// answered has to be sent again, which would not be the sender's fault.
const answering = time.Second

// close refuses connections from now on, and closes those there are.
func (d *door) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), answering)
	defer cancel()
	if d.server.Shutdown(ctx) != nil {
		_ = d.server.Close() // of those that hang
	}
	d.server = nil
	if err := <-d.failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("taking records: %w", err)
	}
	return nil
}
