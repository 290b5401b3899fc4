package main

import (
	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/agent/kube"
	"github.com/eventbaton/baton/agent/term"
)

// metadataReader is nil where nothing is enriched.
func metadataReader(cfg *config.Config, kubeconfig string) (*kube.MetadataReader, error) {
	if !cfg.Enrich.Enabled() {
		return nil, nil
	}
	connection, _, err := kube.Config(kubeconfig)
	if err != nil {
		return nil, err
	}
	return kube.NewMetadataReader(connection, "baton/"+version)
}

// newEnricher makes an Enricher for each term; nil where nothing is enriched.
func (a *agent) newEnricher() func() term.Enricher {
	if a.metadata == nil {
		return nil
	}
	a.counters.lookups = &enrich.Counters{}
	return func() term.Enricher { return enricher{enrich.New(a.enrichOptions()), a.metadata} }
}

func (a *agent) enrichOptions() enrich.Options {
	c := &a.cfg.Enrich
	return enrich.Options{
		Reader: a.metadata, Labels: c.Labels, Annotations: c.Annotations, Owners: c.Owners, Node: c.Node,
		Kinds: c.Lookups(), Only: len(c.Kinds) > 0, Wait: c.Wait, RequestsPerSecond: c.RequestsPerSecond,
		Counters: a.counters.lookups, Log: a.log,
	}
}

// enricher closes its connections with the term: a follower has none but that of its watch.
type enricher struct {
	*enrich.Enricher
	reader *kube.MetadataReader
}

func (e enricher) Close() {
	e.Enricher.Close()
	e.reader.Close()
}
