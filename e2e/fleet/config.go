package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Config becomes an agent's kubernetes.yaml.
type Config struct {
	Name       string
	Lock       string // lease or configmap
	Lease      time.Duration
	Namespaces []string // none for the whole cluster
	Sinks      []Sink
	// More are further keys of the file, with their values as YAML.
	More map[string]string
}

// Sink is one sink of the configuration.
type Sink struct {
	Name, Type string
	More       map[string]string // further keys, with their values as YAML
}

func (c Config) clone() Config {
	c.Sinks = slices.Clone(c.Sinks)
	c.More = maps.Clone(c.More)
	if c.More == nil {
		c.More = map[string]string{}
	}
	for i := range c.Sinks {
		c.Sinks[i].More = maps.Clone(c.Sinks[i].More)
	}
	return c
}

// YAML is the file.
func (c Config) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "leader_candidate: true\nname: %s\nlock: %s\n", c.Name, c.Lock)
	fmt.Fprintf(&b, "leader_lease_duration: %d\n", int(c.Lease.Seconds()))
	fmt.Fprintf(&b, "namespaces: [%s]\n", strings.Join(c.Namespaces, ", "))
	writeKeys(&b, "", c.More)
	b.WriteString("sinks:\n")
	for _, s := range c.Sinks {
		fmt.Fprintf(&b, "  - name: %s\n    type: %s\n", s.Name, s.Type)
		writeKeys(&b, "    ", s.More)
	}
	return b.String()
}

func writeKeys(b *strings.Builder, indent string, more map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(more)) {
		fmt.Fprintf(b, "%s%s: %s\n", indent, k, more[k])
	}
}
