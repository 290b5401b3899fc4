package fleet

import (
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/config"
)

func TestYAMLIsWhatTheAgentTakes(t *testing.T) {
	c := Config{
		Name: "b", Lock: "configmap", Lease: 5 * time.Second, Namespaces: []string{"x", "y"},
		Sinks: []Sink{{Name: "r", Type: "webhook", More: map[string]string{"url": "http://127.0.0.1:1/a", "timeout": "1s"}}},
		More:  map[string]string{"checkpoint_interval": "1"},
	}
	none := func(string) (string, bool) { return "", false }
	got, err := config.Parse("f", []byte(c.YAML()), none)
	if err != nil {
		t.Fatalf("%v in\n%s", err, c.YAML())
	}
	if got.Name != "b" || got.Lock != "configmap" || got.LeaderLeaseDuration != c.Lease || len(got.Namespaces) != 2 ||
		got.Sinks[0].Name != "r" || got.CheckpointInterval != time.Second || !got.LeaderCandidate {
		t.Errorf("%+v", got)
	}
}

func TestConfigsAreNotShared(t *testing.T) {
	first := Config{Sinks: []Sink{{More: map[string]string{"url": "a"}}}}
	second := first.clone()
	second.Sinks[0].More["url"], second.More["start"] = "b", "now"
	if first.Sinks[0].More["url"] != "a" || len(first.More) > 0 {
		t.Errorf("%+v", first)
	}
}
