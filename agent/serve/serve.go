// Package serve answers over HTTP how the agent is: /healthz, /readyz, /metrics and /status.
//
// Health and readiness judge the agent's own work and rights alone. A sink that is down shows in /status and
// /metrics and nowhere else: restarting the pod or stopping a rollout would not bring it back.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Agent is what the endpoints speak of. Its methods are called from several goroutines and must not block.
type Agent interface {
	// Status is the answer of /status.
	Status() Status
	// Healthy is nil, or why only a restart can help.
	Healthy() error
	// Ready is nil, or what keeps the agent from following or leading.
	Ready() error
}

// Handler answers the four endpoints.
func Handler(a Agent, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", verdict(a.Healthy))
	mux.HandleFunc("GET /readyz", verdict(a.Ready))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(a.Status()) // fails only when the client has gone
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return mux
}

func verdict(judge func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := judge(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok") // fails only when the client has gone
	}
}

// Listen opens the port, so that a wrong or taken address is an error before anything else has begun.
func Listen(addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for /healthz, /readyz, /metrics and /status (--listen %s): %w", addr, err)
	}
	return l, nil
}

// Run serves until ctx ends.
func Run(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close() // a client that keeps its connection busy does not keep the process
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
