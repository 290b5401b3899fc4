package sink

// Types are the sinks there are, by the `type` of a sink in kubernetes.yaml. Each gives empty options with their
// defaults set.
var Types = map[string]func() Options{}

// Options are what one type of sink can be told in kubernetes.yaml. The concrete type is a pointer to a struct whose
// fields carry the tags `yaml:"key"` and `doc:"one sentence for the reference"`; decoding is strict.
type Options interface {
	// Check returns all that is wrong with the values.
	Check() []Problem
	// Open makes the sink. It makes no connection: a receiver that is down is no reason not to start.
	Open(env Environment) (Sink, error)
}

// Problem is one thing that is wrong with an option.
type Problem struct {
	Key  string // the yaml key
	Text string // what is wrong with it, and what to write instead
}
