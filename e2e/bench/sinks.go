package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
)

// sinkPackage has BenchmarkSinks.
const sinkPackage = "github.com/eventbaton/baton/agent/sink"

// sinks runs BenchmarkSinks on one core, three times: the least is what disturbed it least.
func sinks(ctx context.Context, _ *bench) ([]number, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkSinks$",
		"-cpu", "1", "-benchtime", "300ms", "-count", "3", sinkPackage)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s%s", err, &stderr, out)
	}
	costs, err := parseSinkCosts(string(out))
	if err != nil {
		return nil, err
	}
	return sinkNumbers(costs), nil
}

// sinkCost is what a record costs a sink.
type sinkCost struct {
	sink, step string
	processor  float64 // nanoseconds
	clock      float64 // nanoseconds
	bytes      float64 // allocated
	allocated  float64 // objects
}

// rate is in records a second of processor time.
func (c sinkCost) rate() float64 { return 1e9 / c.processor }

// perSecond rounds a rate to what is worth reading.
func perSecond(rate float64) string { return fmt.Sprintf("%.0f records/s", math.Round(rate/100)*100) }

func (c sinkCost) String() string {
	return fmt.Sprintf("%.0f ns, %.0f B in %.1f objects", c.processor, c.bytes, c.allocated)
}

// parseSinkCosts reads what go test prints, in its order. Of a line that comes again the one with the least processor time
// counts.
func parseSinkCosts(out string) ([]sinkCost, error) {
	var costs []sinkCost
	known := map[string]int{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "BenchmarkSinks/") {
			continue
		}
		c, err := parseSinkCost(fields)
		if err != nil {
			return nil, fmt.Errorf("in %q: %w", strings.TrimSpace(line), err)
		}
		i, again := known[fields[0]]
		switch {
		case !again:
			known[fields[0]] = len(costs)
			costs = append(costs, c)
		case c.processor < costs[i].processor:
			costs[i] = c
		}
	}
	if len(costs) == 0 {
		return nil, errors.New("go test has run no BenchmarkSinks")
	}
	return costs, nil
}

// parseSinkCost reads a line: BenchmarkSinks/sink/step, how often, and then values, each before its unit.
func parseSinkCost(fields []string) (sinkCost, error) {
	var c sinkCost
	parts := strings.Split(fields[0], "/")
	if len(parts) != 3 {
		return c, errors.New("it is not of a sink and a step")
	}
	c.sink, c.step = parts[1], parts[2]
	wanted := map[string]*float64{
		"cpu-ns/record": &c.processor, "ns/record": &c.clock, "B/record": &c.bytes, "allocs/record": &c.allocated,
	}
	for i := 2; i+1 < len(fields); i += 2 {
		to, ok := wanted[fields[i+1]]
		if !ok {
			continue
		}
		var err error
		if *to, err = strconv.ParseFloat(fields[i], 64); err != nil {
			return c, err
		}
		delete(wanted, fields[i+1])
	}
	if len(wanted) > 0 || c.processor <= 0 {
		return c, errors.New("a value is missing")
	}
	return c, nil
}

// sinkNumbers puts sending beside encoding.
func sinkNumbers(costs []sinkCost) []number {
	encoded := map[string]sinkCost{}
	var numbers []number
	for _, c := range costs {
		switch before, ok := encoded[c.sink]; {
		case c.step == "encode":
			encoded[c.sink] = c
			numbers = append(numbers, shown(c.sink+", encoded alone", "%s (%s)", perSecond(c.rate()), c))
		case ok:
			numbers = append(numbers, shown("the same, sent", "%s, %s of that (%s)",
				perSecond(c.rate()), quantity{c.rate() / before.rate(), ""}, c))
		default:
			numbers = append(numbers, shown(c.sink+", taken", "%s (%s)", perSecond(c.rate()), c))
		}
		if c.sink == "file" && c.step == "send" { // the one that waits for something else than a processor
			numbers = append(numbers, shown("the same, by the clock", "%s", perSecond(1e9/c.clock)))
		}
	}
	return numbers
}
