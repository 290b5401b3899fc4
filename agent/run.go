package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/filter"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/serve"
	"github.com/eventbaton/baton/agent/sink"
)

// defaultConfig is where the chart mounts the file.
const defaultConfig = "/etc/baton/kubernetes.yaml"

// runFlags are the flags of `baton run`.
type runFlags struct {
	config, kubeconfig, namespace, listen string
}

func (r *runFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.StringVar(&r.config, "config", defaultConfig, "the kubernetes.yaml to read")
	f.StringVar(&r.kubeconfig, "kubeconfig", "", "the kubeconfig that names the API server (default: the pod's own, else KUBECONFIG)")
	f.StringVar(&r.namespace, "namespace", "", "the namespace of the lock and the cursors (default: POD_NAMESPACE, else the kubeconfig's)")
	f.StringVar(&r.listen, "listen", ":8080", "the address of /healthz, /readyz, /metrics and /status")
	return f
}

// runCommand runs the agent until a signal.
func runCommand(ctx context.Context, w world, args []string) error {
	var flags runFlags
	if err := parse(w, flags.set(), args); err != nil {
		return err
	}
	cfg, err := config.Load(flags.config, w.env)
	if err != nil {
		return err
	}
	log := newLog(w.stderr, cfg)
	for _, warning := range cfg.Warnings {
		log.Warn("the configuration is taken with a warning", "warning", warning, "file", flags.config)
	}
	listener, err := serve.Listen(flags.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	lag, registry := serve.NewLag(), prometheus.NewRegistry()
	sinks, err := openSinks(cfg, sink.Environment{Stdout: w.stdout, Version: version, Metrics: registry}, lag.Observe, log)
	if err != nil {
		return err
	}
	defer closeSinks(sinks, log)
	a, err := newAgent(cfg, flags, w, sinks, log)
	if err != nil {
		return err
	}
	log.Info("baton starts", "version", version, "identity", a.identity.String(), "mode", a.mode,
		"listen", listener.Addr().String())
	return runTogether(ctx, a, func(ctx context.Context) error {
		return serve.Run(ctx, listener, serve.Handler(a, serve.Metrics(registry, a, lag)), log)
	})
}

// runTogether ends the server after the agent, so that the end of a term can be watched.
func runTogether(ctx context.Context, a *agent, server func(context.Context) error) error {
	group, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	serving, stop := context.WithCancel(failed)
	group.Go(func() error { return server(serving) })
	group.Go(func() error {
		defer stop()
		working, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(failed, cancel)()
		return a.run(working)
	})
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// newLog makes the log of the process, and leads client-go's into it.
func newLog(out io.Writer, cfg *config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		level = slog.LevelInfo // config has checked it
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(out, options)
	if cfg.LogFormat == config.FormatText {
		handler = slog.NewTextHandler(out, options)
	}
	log := slog.New(handler)
	klog.SetSlogLogger(log)
	return log
}

// openSinks opens every configured sink. No connection is made: a receiver that is down is no reason not to start.
func openSinks(cfg *config.Config, env sink.Environment, observeLag func(string, float64), log *slog.Logger) ([]*relay.Sink, error) {
	var sinks []*relay.Sink
	for _, c := range cfg.Sinks {
		env.Log = log.With("sink", c.Name)
		opened, err := c.Options.Open(env)
		if err != nil {
			closeSinks(sinks, log)
			return nil, fmt.Errorf("opening the sink %s: %w", c.Name, err)
		}
		sinks = append(sinks, relay.NewSink(relay.SinkOptions{
			Name: c.Name, Sink: opened, Filter: matcher(c.Match), Log: log, ObserveLag: observeLag,
			Repeats: relay.Repeats(c.Repeats), RepeatInterval: repeatInterval(c),
		}))
	}
	return sinks, nil
}

// repeatInterval is 0 where there is none.
func repeatInterval(c config.Sink) time.Duration {
	if c.RepeatInterval == nil {
		return 0
	}
	return time.Duration(*c.RepeatInterval)
}

// matcher is nil where everything matches.
func matcher(f *filter.Filter) func(*record.Record) (bool, error) {
	if f == nil {
		return nil
	}
	return f.Match
}

func closeSinks(sinks []*relay.Sink, log *slog.Logger) {
	for _, s := range sinks {
		if err := s.Close(); err != nil {
			log.Warn("a sink could not be closed", "sink", s.Name(), "error", err)
		}
	}
}

// hostname stands in for the pod's name outside a cluster.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
