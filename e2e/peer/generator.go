package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/e2e/generator"
)

// generatorCommand makes events in the pod's cluster until it is told to end.
func generatorCommand(f *flag.FlagSet) func(context.Context, *http.ServeMux) error {
	var o generator.Options
	f.StringVar(&o.Namespace, "namespace", "default", "where the events are made")
	f.StringVar(&o.Prefix, "prefix", "n", "how the events' names begin")
	f.Float64Var(&o.Rate, "rate", 20, "how many versions a second are made")
	f.Float64Var(&o.Updates, "updates", 0.2, "the share of them that update an event made before")
	f.IntVar(&o.Workers, "workers", 2, "how many make them at once")
	return func(ctx context.Context, mux *http.ServeMux) error {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return fmt.Errorf("finding the API server: %w", err)
		}
		cfg.QPS = -1
		if o.Client, err = kubernetes.NewForConfig(cfg); err != nil {
			return fmt.Errorf("making the client: %w", err)
		}
		g := generator.Start(context.WithoutCancel(ctx), o)
		mux.HandleFunc("GET /log", g.ServeLog)
		<-ctx.Done()
		g.Stop()
		return nil
	}
}
