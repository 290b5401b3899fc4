package convert

import (
	"errors"
	"reflect"
	"slices"

	"github.com/eventbaton/baton/agent/config"
)

// convertAgent5 writes what config reads of a file in the layout of the Agent 5. Its checks are config's own.
func convertAgent5(c *conversion, root *object) {
	if !root.has("init_config") && !root.has("instances") {
		c.problem(root.place, "has neither init_config nor instances; is it the kubernetes.yaml of a Datadog Agent 5?")
		return
	}
	cfg, err := config.Parse(c.file, c.data, nil)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		c.problems = problems
		return
	}
	c.agent5Keys(root, cfg)
	c.agent5Ignored(root)
	if len(c.ready) > 0 {
		return
	}
	d := c.sink(root.place, "datadog", "datadog", "The Agent sent events to Datadog, with its own API key and to its own site "+
		"(api_key and dd_url, or site, of datadog.conf). Put that key into this file. For a site other than datadoghq.com, "+
		"write site: datadoghq.eu, or whichever it is.")
	d.keys.set(root.place, "api_key_file", word(secretsFolder+"datadog-api-key"))
	c.note(root.place, "the events go to Datadog by the sink datadog: put the API key into %sdatadog-api-key, and look at its site",
		secretsFolder)
}

// agent5Keys writes the keys that have the same name here, in the order of the reference. Namespaces need not be there.
func (c *conversion) agent5Keys(root *object, cfg *config.Config) {
	at := c.object(root.first("instances"))
	own := map[string]field{}
	for _, f := range append(slices.Clone(at.fields), root.fields...) {
		if !f.empty() {
			own[f.name] = f
		}
	}
	if sinks := own["sinks"]; sinks.node != nil {
		c.ready = sinks.node.Content
	}
	c.top.set(own["leader_candidate"].place, "leader_candidate", truth(true))
	switch {
	case cfg.CollectEvents:
		c.header = append(c.header, c.note(own["collect_events"].place,
			"gathered without an election; with leader_candidate a single agent is elected as well, and further ones do no harm"))
	case !cfg.LeaderCandidate:
		c.header = append(c.header, c.note(at.place,
			"gathered no events: neither leader_candidate nor collect_events is true. This file gathers them"))
	}
	for _, key := range orderOf(reflect.ValueOf(cfg)) {
		f, ok := own[key]
		if ok && !slices.Contains([]string{"leader_candidate", "collect_events", "namespaces", "sinks"}, key) {
			c.top.set(f.place, key, f.node)
		}
	}
	if len(cfg.Namespaces) > 0 {
		var comments []string
		if _, ok := own["namespaces"]; !ok {
			comments = append(comments, "The Agent 5 gathered from the namespace default where none was named; without this key, all are.")
		}
		c.top.set(own["namespaces"].place, "namespaces", words(cfg.Namespaces), comments...)
	}
}

// agent5Ignored names the keys that are not about events.
func (c *conversion) agent5Ignored(root *object) {
	keys := append(orderOf(reflect.ValueOf(config.Default())), "namespace")
	for _, f := range root.object("init_config").fields {
		c.header = append(c.header, c.lack(f.place, "it is not about events"))
	}
	for _, f := range c.object(root.first("instances")).fields {
		if !slices.Contains(keys, f.name) {
			c.header = append(c.header, c.lack(f.place, "it is not about events"))
		}
	}
}
