package main

import (
	"strings"
	"testing"
)

const explainConfig = `leader_candidate: true
cluster_id: c
namespaces: [shop, web]
namespace_name_regexp: team-
sinks:
  - {name: log, type: stdout}
  - {name: archive, type: stdout, filter: 'event.isWarning() && (event.ofKind("Node") || event.count > 9)'}
  - {name: chat, type: slack, url_file: /url}
  - {name: broken, type: stdout, filter: 'event.tags[0] == "x"'}
  - {name: once, type: stdout, repeats: first}
  - {name: calm, type: stdout, repeats: rate, repeat_interval: 90s, filter: '!event.hasReason("Pull*")'}
`

// oldEvent and newEvent are what kubectl get event -o json prints of either API, shortened.
const (
	oldEventJSON = `{
  "apiVersion": "v1", "kind": "Event",
  "metadata": {"name": "cart.17", "namespace": "shop", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-07-01T12:00:00Z"},
  "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "cart", "namespace": "shop"},
  "type": "Warning", "reason": "BackOff", "message": "Back-off restarting", "count": 4, "eventTime": null,
  "firstTimestamp": "2026-07-01T12:00:00Z", "lastTimestamp": "2026-07-01T12:04:00Z", "source": {"component": "kubelet", "host": "node-1"}
}`
	newEventJSON = `{
  "apiVersion": "events.k8s.io/v1", "kind": "Event",
  "metadata": {"name": "node-1.18", "namespace": "team-a"},
  "regarding": {"kind": "Node", "name": "node-1"},
  "type": "Normal", "reason": "Pulled", "note": "the note", "eventTime": "2026-07-01T12:00:00.000001Z",
  "series": {"count": 12, "lastObservedTime": "2026-07-01T12:09:00.000001Z"},
  "reportingController": "kubelet", "reportingInstance": "node-1"
}`
	elsewhereJSON = `{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x.1", "namespace": "kube-system"},
  "involvedObject": {"kind": "Pod", "name": "x\ny\u001b"}, "reason": "Started"}`
)

const explained = `shop/cart.17: Warning BackOff of Pod shop/cart
  log: sent
  archive: not sent, because its filter is false
    event.ofKind("Node") is false; event.object.kind is "Pod"
    event.count > 9 is false; event.count is 4
  chat: sent
  broken: sent; its filter failed: filter "event.tags[0] == \"x\"": index out of bounds: 0
    event.tags[0] == "x" fails: index out of bounds: 0; event.tags is absent
  once: sent, unless a version of it was before (repeats: first)
  calm: sent, or held for up to 1m30s, and then a later one of its object and reason may stand for it (repeats: rate)
team-a/node-1.18: Normal Pulled of Node node-1
  log: sent
  archive: not sent, because its filter is false
    event.isWarning() is false; event.type is "Normal"
  chat: not sent, because the filter that the type slack has by default is false
    event.type == "Warning" is false; event.type is "Normal"
  broken: sent; its filter failed: filter "event.tags[0] == \"x\"": index out of bounds: 0
    event.tags[0] == "x" fails: index out of bounds: 0; event.tags is absent
  once: sent, unless a version of it was before (repeats: first)
  calm: not sent, because its filter is false
    event.hasReason("Pull*") is true; event.reason is "Pulled"
kube-system/x.1: ? Started of Pod x y
  not gathered: the namespace kube-system is not one of namespaces, shop, web, and does not match namespace_name_regexp, team-
of 3 events the sinks would get: archive 0, broken 2, calm 1, chat 1, log 2, once 2
`

func list(kind string, items ...string) string {
	return `{"apiVersion": "v1", "kind": "` + kind + `", "metadata": {}, "items": [` + strings.Join(items, ",\n") + "]}\n"
}

// Whichever way the events come, what is said of them is the same.
func TestExplain(t *testing.T) {
	t.Parallel()
	file := write(t, explainConfig)
	for name, stdin := range map[string]string{
		"kubectl's list":       list("List", oldEventJSON, newEventJSON, elsewhereJSON),
		"a list in lists":      list("List", list("List", oldEventJSON), list("List", newEventJSON, elsewhereJSON)),
		"one after the other":  oldEventJSON + newEventJSON + "\n" + elsewhereJSON,
		"YAML":                 "---\n" + strings.Join([]string{oldEventJSON, newEventJSON, elsewhereJSON}, "\n---\n") + "\n---\n",
		"YAML's list":          "# events\n" + list("List", oldEventJSON, newEventJSON, elsewhereJSON),
		"with a mark and more": "\n\n  " + list("List", oldEventJSON, newEventJSON, elsewhereJSON) + "\n",
	} {
		s := shell{stdin: stdin}
		if code := s.run(t.Context(), "check", "--explain", file); code != exitOK {
			t.Errorf("%s: exit code %d: %s", name, code, &s.stderr)
		}
		if got, want := s.stdout.String(), file+": ok, 6 sinks\n"+explained; got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// The API server's own lists don't say of their items what they are.
func TestExplainListOfTheServer(t *testing.T) {
	t.Parallel()
	file := write(t, "leader_candidate: true\nsinks: [{name: a, type: stdout, filter: 'event.message == \"the note\" && event.count == 12'}]\n")
	item := strings.Replace(newEventJSON, `"apiVersion": "events.k8s.io/v1", "kind": "Event",`, "", 1)
	s := shell{stdin: strings.Replace(list("EventList", item), `"v1"`, `"events.k8s.io/v1"`, 1)}
	if code := s.run(t.Context(), "check", "--explain", file); code != exitOK || !strings.Contains(s.stdout.String(), "a: sent\n") {
		t.Errorf("exit code %d: %s%s", code, &s.stdout, &s.stderr)
	}
}

// What is filtered by something that only a running agent has is said.
func TestExplainUnknown(t *testing.T) {
	t.Parallel()
	keys := "leader_candidate: true\n%ssinks:\n  - {name: a, type: stdout, filter: 'event.cluster == \"c\" && event.enrichment.node == \"n\"'}\n"
	for id, warned := range map[string]int{"": 2, "cluster_id: c\n": 1} {
		s := shell{stdin: oldEventJSON}
		code := s.run(t.Context(), "check", "--explain", write(t, strings.Replace(keys, "%s", id, 1)))
		if got := strings.Count(s.stderr.String(), "only a running agent knows"); code != exitOK || got != warned {
			t.Errorf("%q: exit code %d, %d warnings: %s", id, code, got, &s.stderr)
		}
	}
}

// An input that can't be used says where and what to do.
func TestExplainBadInput(t *testing.T) {
	t.Parallel()
	file := write(t, "leader_candidate: true\n")
	count := strings.Replace(oldEventJSON, `"count": 4`, `"count": "four"`, 1)
	for name, c := range map[string]struct{ stdin, says string }{
		"nothing":           {"", "stdin: has no events; write them as kubectl get event -o json prints them"},
		"an empty list":     {list("List"), "stdin: has no events"},
		"half of it":        {oldEventJSON[:200], "stdin:4: is not JSON: unexpected EOF"},
		"a comma":           {"{\n\"kind\": \"Event\",\n,}", "stdin:3: is not JSON: invalid character ','"},
		"a pod":             {`{"apiVersion": "v1", "kind": "Pod"}`, `stdin:1: is a "Pod" of "v1"; write events of v1 or events.k8s.io/v1`},
		"an old API":        {`{"apiVersion": "apps/v1", "kind": "Event"}`, `stdin:1: is a "Event" of "apps/v1"`},
		"no kind":           {"\n\n{\"a\": 1}", "stdin:3: has no kind"},
		"a pod among them":  {list("List", oldEventJSON, "\n"+`{"apiVersion": "v1", "kind": "Pod"}`), `stdin:9: items[1]: is a "Pod"`},
		"a wrong count":     {list("List", oldEventJSON, count), "stdin:12: items[1]: count is a string, which an event can't have there"},
		"a wrong time":      {strings.Replace(oldEventJSON, `"lastTimestamp": "2026-07-01T12:04:00Z"`, `"lastTimestamp": "soon"`, 1), "stdin:1: is no event: parsing time"},
		"no objects":        {"[1, 2]", "stdin:1: is of the type array, no object"},
		"text":              {"hello there", "stdin:1: is of the type string, no object"},
		"kubectl's table":   {"LAST SEEN   TYPE: x   REASON: y\n1m", "stdin: is neither JSON nor YAML"},
		"not YAML":          {"kind: Event\n\tx: 1", "stdin: is neither JSON nor YAML: line 2"},
		"a pod in YAML":     {"kind: Event\napiVersion: v1\n---\nkind: Pod\napiVersion: v1\n", `stdin:4: is a "Pod"`},
		"what JSON has not": {"kind: Event\napiVersion: v1\ncount: .nan\n", "stdin:1: has something that JSON can't say"},
	} {
		t.Run(name, func(t *testing.T) {
			s := shell{stdin: c.stdin}
			if code := s.run(t.Context(), "check", "--explain", file); code != exitUsage {
				t.Errorf("exit code %d: %s", code, &s.stdout)
			}
			if !strings.Contains(s.stderr.String(), c.says) {
				t.Errorf("stderr lacks %q: %s", c.says, &s.stderr)
			}
		})
	}
}

func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{oldEventJSON, newEventJSON, list("List", oldEventJSON), list("EventList", "{}", "null"), "kind: Event\n---\n", "[", "{}{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		events, err := readEvents(strings.NewReader(in))
		if err == nil && len(events) == 0 || err != nil && !strings.HasPrefix(err.Error(), "stdin") {
			t.Errorf("%d events, error %v", len(events), err)
		}
	})
}
