// Package backend has a place to send to for each type of sink. It speaks what the sink speaks, notes what it takes as
// the package receiver does, goes down and comes back.
package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/eventbaton/baton/e2e/receiver"
)

// Kind is a type of sink, or one of its modes.
type Kind struct {
	Name string // for people
	Type string // of the sink
	// Uncounted says that the records come without their counts.
	Uncounted bool
	// Resends says that a batch of which a part was taken comes again as a whole.
	Resends bool

	open func(o *opening) error
}

// Sink is a name for a sink of this kind.
func (k Kind) Sink() string { return strings.ReplaceAll(k.Name, " ", "-") }

// Backend is where one sink sends to.
type Backend struct {
	Kind
	*receiver.Receiver
	service
	// Options are the keys of the sink in the configuration of an agent, with their values as YAML.
	Options func(agent string) (map[string]string, error)
}

// service is what takes the records.
type service interface {
	// Down takes nothing from now on. What was taken before is answered before.
	Down()
	// Fail takes nothing from now on either, and says so, as it does where it is not well.
	Fail()
	// Up takes again.
	Up() error
	// Close ends it for good.
	Close()
}

// Kinds are all there are but the webhook, which is a receiver.Server.
func Kinds() []Kind {
	return []Kind{
		{Name: "datadog events", Type: "datadog", open: openDatadogEvents},
		{Name: "datadog logs", Type: "datadog", open: openDatadogLogs},
		{Name: "otlp grpc", Type: "otlp", open: openOTLP("grpc")},
		{Name: "otlp http", Type: "otlp", open: openOTLP("http")},
		{Name: "elasticsearch", Type: "elasticsearch", open: openElasticsearch},
		{Name: "loki", Type: "loki", open: openLoki},
		{Name: "kafka", Type: "kafka", Resends: true, open: openKafka},
		{Name: "cloudevents structured", Type: "cloudevents", open: openCloudEvents("structured")},
		{Name: "cloudevents binary", Type: "cloudevents", open: openCloudEvents("binary")},
		{Name: "cloudevents batched", Type: "cloudevents", open: openCloudEvents("batched")},
		{Name: "slack", Type: "slack", Uncounted: true, open: openChat("slack", readSlack, takenBySlack)},
		{Name: "teams", Type: "slack", Uncounted: true, open: openChat("teams", readTeams, takenByTeams)},
		{Name: "file", Type: "file", open: openFile},
		{Name: "file disk full", Type: "file", open: openFullFile},
	}
}

// opening is a Backend that is being made.
type opening struct {
	*Backend
	dir string // for files of its own
}

// Open starts one. Its files are in a folder of its own in dir.
func (k Kind) Open(dir string) (*Backend, error) {
	o := &opening{Backend: &Backend{Kind: k}, dir: filepath.Join(dir, k.Sink())}
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of %s: %w", k.Name, err)
	}
	if err := k.open(o); err != nil {
		return nil, fmt.Errorf("starting %s: %w", k.Name, err)
	}
	return o.Backend, nil
}

// secret writes a file that the configuration names, and returns that name as YAML.
func (o *opening) secret(name, content string) (string, error) {
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("writing a secret: %w", err)
	}
	return strconv.Quote(path), nil
}

// with is options that are the same for all agents.
func with(options map[string]string) func(string) (map[string]string, error) {
	return func(string) (map[string]string, error) { return options, nil }
}
