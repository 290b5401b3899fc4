package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
)

const (
	followerCount = 10
	// settle is for the followers' first reads.
	settle = 30 * time.Second
)

func followers(ctx context.Context, b *bench) ([]number, error) {
	var numbers []number
	err := withPlane(ctx, controlplane.Options{Audit: true}, func(plane *controlplane.ControlPlane) error {
		s, err := b.open(ctx, plane, "followers", 1+followerCount)
		if err != nil {
			return err
		}
		numbers, err = s.followers(ctx, plane)
		return errors.Join(err, s.close())
	})
	return numbers, err
}

func (s *stage) followers(ctx context.Context, plane *controlplane.ControlPlane) ([]number, error) {
	leader, err := s.lead(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range s.fleet.Agents() {
		if err := until(ctx, a.Name+" is ready", func() bool { return a.Ready(ctx) }); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	from := time.Now()
	before, err := requests(ctx, plane.Client())
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, s.bench.window); err != nil {
		return nil, err
	}
	after, err := requests(ctx, plane.Client())
	if err != nil {
		return nil, err
	}
	audit, err := audited(plane.AuditLog(), from, time.Now())
	if err != nil {
		return nil, err
	}
	return s.share(leader, after.less(before), audit)
}

// share says whose requests the API server has counted.
func (s *stage) share(leader *fleet.Agent, counted tally, audit audit) ([]number, error) {
	begun, left := 0, counted
	followers := map[string]bool{}
	for _, a := range s.fleet.Agents() {
		if a != leader {
			followers[a.User()] = true
			begun += audit.begun[a.User()]
		}
	}
	for user, n := range audit.ended {
		if !followers[user] {
			left = left.less(n)
		}
	}
	var errs []error
	var memories []float64
	for _, a := range s.fleet.Agents() {
		m, err := rss(a.Pid())
		errs = append(errs, err)
		if a != leader {
			memories = append(memories, m.now)
		}
	}
	if left.sum() != 0 {
		say("followers: counted, and in the audit log of nobody but followers: %s", left)
	}
	window := s.bench.window.String()
	return []number{
		atMost(fmt.Sprintf("requests of %d followers in %s, by the audit log", followerCount, window), float64(begun), 0, ""),
		atMost("the same, by apiserver_request_total less what the audit log has of all others", float64(left.sum()), 0, ""),
		shown("requests of the leader, in a quiet cluster", "%s", audit.of[leader.User()]),
		shown("all requests that the API server counted, its own included", "%d", counted.sum()),
		shown("memory of a follower, median", "%.1f MB", median(memories)),
	}, errors.Join(errs...)
}

var requestTotal = regexp.MustCompile(`^apiserver_request_total\{.*resource="([a-z]+)".*\} ([0-9.e+]+)$`)

// requests is how many requests the API server has counted, by resource. A watch counts when it ends.
func requests(ctx context.Context, client kubernetes.Interface) (tally, error) {
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	return countRequests(string(text))
}

func countRequests(metrics string) (tally, error) {
	t := tally{}
	for line := range strings.Lines(metrics) {
		m := requestTotal.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, fmt.Errorf("the API server's metrics: %w", err)
		}
		t[m[1]] += int(n)
	}
	return t, nil
}

// audit is who asked for what in a span of time, by user.
type audit struct {
	begun map[string]int   // requests that came
	of    map[string]tally // the same, by verb and resource
	ended map[string]tally // requests that were answered to the end, by resource; a watch may have come before
}

// tally counts requests by what they were.
type tally map[string]int

func count(of map[string]tally, user, what string) {
	if of[user] == nil {
		of[user] = tally{}
	}
	of[user][what]++
}

func (t tally) sum() int {
	sum := 0
	for _, n := range t {
		sum += n
	}
	return sum
}

// less is t without what is in other.
func (t tally) less(other tally) tally {
	rest := maps.Clone(t)
	for what, n := range other {
		rest[what] -= n
	}
	maps.DeleteFunc(rest, func(_ string, n int) bool { return n == 0 })
	return rest
}

func (t tally) String() string {
	var parts []string
	for _, what := range sortedKeys(t) {
		parts = append(parts, fmt.Sprintf("%d %s", t[what], what))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func audited(file string, from, to time.Time) (audit, error) {
	f, err := os.Open(file)
	if err != nil {
		return audit{}, fmt.Errorf("opening the audit log: %w", err)
	}
	defer f.Close()
	return readAudit(f, from, to)
}

// auditEvent is what is read of a line of the log. Each request has one when its answer is complete, and a watch one
// more when its answer begins.
type auditEvent struct {
	AuditID                                  string
	Stage, Verb                              string
	User                                     struct{ Username string }
	ObjectRef                                *struct{ Resource string }
	RequestReceivedTimestamp, StageTimestamp time.Time
}

func readAudit(log io.Reader, from, to time.Time) (audit, error) {
	a := audit{begun: map[string]int{}, of: map[string]tally{}, ended: map[string]tally{}}
	seen := map[string]bool{}
	within := func(t time.Time) bool { return !t.Before(from) && t.Before(to) }
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e auditEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return a, fmt.Errorf("the audit log: %w", err)
		}
		if e.ObjectRef == nil {
			continue
		}
		user := e.User.Username
		if within(e.RequestReceivedTimestamp) && !seen[e.AuditID] {
			seen[e.AuditID] = true
			a.begun[user]++
			count(a.of, user, e.Verb+" "+e.ObjectRef.Resource)
		}
		if e.Stage == "ResponseComplete" && within(e.StageTimestamp) {
			count(a.ended, user, e.ObjectRef.Resource)
		}
	}
	return a, lines.Err()
}
