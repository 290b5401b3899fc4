package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/port"
)

// server is one program that binds ports of its own. It can be killed and started again on the same ones.
type server struct {
	name    string
	binary  string
	scheme  string
	nursery *child.Nursery
	data    string // its folder, "" for none
	args    func(ports []int) []string
	ready   func(ctx context.Context, url string) error
	count   int // how many ports it needs

	ports   []int
	process *child.Process
}

const (
	startTimeout = 2 * time.Minute // on a busy machine
	startTries   = 20
)

var errBind = errors.New("a port is taken")

// start starts the server and waits until it is ready. Between the choice of a port and its binding another program
// may take it: before the first success other ports are tried, after that the same ones.
func (s *server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	chosen := s.ports != nil
	for try := 0; ; try++ {
		if !chosen {
			if err := s.choose(); err != nil {
				return err
			}
		}
		err := s.try(ctx)
		if err == nil || !errors.Is(err, errBind) || try == startTries {
			return err
		}
	}
}

func (s *server) choose() error {
	s.give()
	for range s.count {
		p, err := port.Take()
		if err != nil {
			return err
		}
		s.ports = append(s.ports, p)
	}
	return nil
}

func (s *server) give() {
	for _, p := range s.ports {
		port.Give(p)
	}
	s.ports = nil
}

func (s *server) url() string { return port.URL(s.scheme, s.ports[0]) }

func (s *server) log() string { return filepath.Join(s.nursery.Dir, s.name+".log") }

func (s *server) try(ctx context.Context) error {
	log, err := os.Create(s.log())
	if err != nil {
		return fmt.Errorf("making the log of %s: %w", s.name, err)
	}
	defer log.Close()
	cmd := exec.Command(s.binary, s.args(s.ports)...)
	cmd.Dir = s.nursery.Dir
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = s.nursery.Start(cmd); err != nil {
		return err
	}
	if err := s.wait(ctx); err != nil {
		s.kill()
		return err
	}
	return nil
}

// wait asks until the server answers that it is ready: neither program tells by itself.
func (s *server) wait(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.ready(ctx, s.url())
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Done():
			return s.died()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log ends:\n%s", s.name, errors.Join(err, ctx.Err()), s.tail())
		case <-tick.C:
		}
	}
}

func (s *server) died() error {
	tail := s.tail()
	if strings.Contains(tail, "address already in use") {
		return fmt.Errorf("starting %s: %w", s.name, errBind)
	}
	return fmt.Errorf("%s ended: %w; its log ends:\n%s", s.name, s.process.Err(), tail)
}

func (s *server) tail() string {
	b, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (s *server) kill() {
	s.process.Kill()
	<-s.process.Done()
}

// get succeeds where url answers 200.
func get(ctx context.Context, client *http.Client, url, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return nil
}
