package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/agent/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an API server's objects, by "resource namespace/name".
type world struct {
	mu      sync.Mutex
	objects map[string]*Metadata
	stale   map[string]*Metadata // what its cache says instead; nil for nothing
	fails   error
	takes   time.Duration // for an answer
	hangs   bool
	hangsOf string // a resource
	asked   []string
	busy    int
	most    int
}

func (w *world) Read(ctx context.Context, o Object, node, exact bool) (*Metadata, error) {
	w.mu.Lock()
	text := o.String()
	if node {
		text += " with its node"
	}
	if exact {
		text += " exactly"
	}
	w.asked = append(w.asked, text)
	w.busy++
	w.most = max(w.most, w.busy)
	takes, hangs, fails, found := w.takes, w.hangs || o.Resource == w.hangsOf, w.fails, w.objects[o.String()]
	if stale, ok := w.stale[o.String()]; ok && !exact {
		found = stale
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.busy--
		w.mu.Unlock()
	}()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(takes):
	}
	if fails != nil {
		return nil, fails
	}
	if found == nil {
		return nil, ErrGone
	}
	answer := *found
	if !node {
		answer.Node = ""
	}
	return &answer, nil
}

// set changes the world while it is asked.
func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.asked))
}

func shop() *world {
	return &world{objects: map[string]*Metadata{
		"pods shop/web-1": {
			UID: "p1", Labels: map[string]string{"team": "shop", "app.kubernetes.io/name": "web", "other": "x"},
			Annotations: map[string]string{"note": "n", "secret": "s"}, Node: "node-3",
			Owner: &record.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "r1"},
		},
		"replicasets.apps shop/web": {UID: "r1", Owner: &record.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "d1"}},
		"deployments.apps shop/web": {UID: "d1", Owner: &record.Owner{APIVersion: "example.test/v1", Kind: "Website", Name: "web", UID: "w1"}},
		"nodes node-3":              {UID: "n3", Labels: map[string]string{zoneLabel: "eu-1a", "team": "infra"}},
	}}
}

// pod is a record about a pod, as the scheduler reports it.
func pod(name, uid string) *record.Record {
	return &record.Record{
		Time: time.Now(), Namespace: "shop",
		Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: name, UID: uid},
		Source: record.Source{Component: "default-scheduler"},
	}
}

func everything(r Reader) Options {
	return Options{
		Reader: r, Labels: []string{"team", "app.kubernetes.io/*"}, Annotations: []string{"note"}, Owners: true, Node: true,
		Kinds: Known(), Wait: 250 * time.Millisecond, RequestsPerSecond: 20, Counters: &Counters{},
	}
}

// enriched are the enrichments of a batch, and how long it took.
func enriched(e *Enricher, records ...*record.Record) time.Duration {
	began := time.Now()
	e.Enrich(context.Background(), records)
	return time.Since(began)
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func TestEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.takes = 10 * time.Millisecond
		o := everything(w)
		e := New(o)
		defer e.Close()
		r, same := pod("web-1", "p1"), pod("web-1", "p1")
		if took := enriched(e, r, same); took != 30*time.Millisecond {
			t.Errorf("four answers of 10 ms, two of them at once, took %v", took)
		}
		want := &record.Enrichment{
			Labels: map[string]string{"team": "shop", "app.kubernetes.io/name": "web"}, Annotations: map[string]string{"note": "n"},
			Owners: []record.Owner{
				{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "r1"},
				{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "d1"},
				{APIVersion: "example.test/v1", Kind: "Website", Name: "web", UID: "w1"},
			},
			Node: "node-3", Zone: "eu-1a",
		}
		check(t, "enrichment", r.Enrichment, want)
		check(t, "that of the same object", same.Enrichment, want)
		check(t, "requests", w.requests(), []string{
			"deployments.apps shop/web", "nodes node-3", "pods shop/web-1 with its node", "replicasets.apps shop/web",
		})
		again := pod("web-1", "p1")
		if took := enriched(e, again); took != 0 || len(w.requests()) != 4 {
			t.Errorf("what is known took %v and %v", took, w.requests())
		}
		check(t, "from the cache", again.Enrichment, want)
		check(t, "counters", o.Counters.Snapshot(), map[string]uint64{
			"found": 4, "cached": 4, "gone": 0, "refused": 0, "unsupported": 0, "failed": 0, "late": 0,
		})
	})
}

// What is wanted decides what is asked for.
func TestWhatIsAskedFor(t *testing.T) {
	kubelet := pod("web-1", "p1")
	kubelet.Source = record.Source{Component: "kubelet", Host: "node-3"}
	newer := pod("web-1", "p1")
	newer.Source = record.Source{Component: "kubelet", Instance: "node-3"}
	deployment := &record.Record{Object: record.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "d1"}}
	node := &record.Record{Object: record.Object{Kind: "Node", Name: "node-3", UID: "node-3"}, Source: record.Source{Component: "kubelet", Host: "node-3"}}
	website := &record.Record{Object: record.Object{APIVersion: "example.test/v1", Kind: "Website", Namespace: "shop", Name: "web"}}
	placed := &record.Enrichment{Node: "node-3", Zone: "eu-1a"}
	only := func(names ...string) func(*Options) {
		return func(o *Options) {
			o.Only = true
			o.Kinds = nil
			for _, k := range Known() {
				for _, name := range names {
					if k.Kind == name {
						o.Kinds = append(o.Kinds, k)
					}
				}
			}
		}
	}
	nodeOnly := func(o *Options) { o.Labels, o.Annotations, o.Owners = nil, nil, false }
	for name, c := range map[string]struct {
		record *record.Record
		change func(*Options)
		want   *record.Enrichment
		asked  []string
	}{
		"the node of a pod":               {pod("web-1", "p1"), nodeOnly, placed, []string{"nodes node-3", "pods shop/web-1 with its node"}},
		"the node that the kubelet tells": {kubelet, nodeOnly, placed, []string{"nodes node-3"}},
		"the node by the newer fields":    {newer, nodeOnly, placed, []string{"nodes node-3"}},
		"the node of a node":              {node, nodeOnly, placed, []string{"nodes node-3"}},
		"the node of a deployment":        {deployment, nodeOnly, nil, nil},
		"the node of something unknown":   {website, nodeOnly, nil, nil},
		"something unknown":               {website, func(*Options) {}, &record.Enrichment{Incomplete: record.Unsupported}, nil},
		"something left out":              {deployment, only("Pod"), nil, nil},
		"an owner left out": {
			pod("web-1", "p1"), only("Pod"),
			&record.Enrichment{
				Labels: map[string]string{"team": "shop", "app.kubernetes.io/name": "web"}, Annotations: map[string]string{"note": "n"},
				Owners: []record.Owner{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "r1"}}, Node: "node-3", Zone: "eu-1a",
			},
			[]string{"nodes node-3", "pods shop/web-1 with its node"},
		},
		"labels alone": {
			pod("web-1", "p1"), func(o *Options) { o.Annotations, o.Owners, o.Node = nil, false, false },
			&record.Enrichment{Labels: map[string]string{"team": "shop", "app.kubernetes.io/name": "web"}},
			[]string{"pods shop/web-1"},
		},
		"labels of a node": {
			node, func(o *Options) { o.Owners, o.Node = false, false },
			&record.Enrichment{Labels: map[string]string{"team": "infra"}},
			[]string{"nodes node-3"},
		},
		"a pod without a name": {pod("", ""), func(*Options) {}, &record.Enrichment{Incomplete: record.Unsupported}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := shop()
				o := everything(w)
				c.change(&o)
				e := New(o)
				defer e.Close()
				r := *c.record
				enriched(e, &r)
				check(t, "enrichment", r.Enrichment, c.want)
				check(t, "requests", w.requests(), c.asked)
			})
		})
	}
}

// What is told of one object is never another's.
func TestAnotherOfTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.objects["pods shop/static"] = &Metadata{
			UID: "m", Labels: map[string]string{"team": "static"}, Annotations: map[string]string{mirrorAnnotation: "hash"},
		}
		o := everything(w)
		o.Node = false
		e := New(o)
		defer e.Close()
		other, gone, anyone, static := pod("web-1", "p0"), pod("web-0", "p1"), pod("web-1", ""), pod("static", "hash")
		old := pod("web-9", "p9")
		old.Time = time.Now().Add(-time.Hour)
		enriched(e, other, gone, anyone, static, old)
		check(t, "another uid", other.Enrichment, &record.Enrichment{Incomplete: record.Gone})
		check(t, "no such pod", gone.Enrichment, &record.Enrichment{Incomplete: record.Gone})
		check(t, "a uid that nobody gave", anyone.Enrichment.Labels["team"], "shop")
		check(t, "a pod of a file", static.Enrichment.Labels["team"], "static")
		asked := strings.Join(w.requests(), "\n")
		for text, want := range map[string]bool{"web-1 exactly": true, "web-0 exactly": true, "web-9 exactly": false, "static exactly": false} {
			if strings.Contains(asked, text) != want {
				t.Errorf("%s: %v is not so in\n%s", text, want, asked)
			}
		}
		owner := w.objects["replicasets.apps shop/web"]
		w.set(func(w *world) { w.objects["replicasets.apps shop/web"] = &Metadata{UID: "r2", Owner: owner.Owner} })
		time.Sleep(15 * time.Minute)
		r := pod("web-1", "p1")
		enriched(e, r)
		check(t, "owners where one was replaced", r.Enrichment.Owners, []record.Owner{*w.objects["pods shop/web-1"].Owner})
		check(t, "what it lacks", r.Enrichment.Incomplete, record.Gone)
	})
}

// The API server's cache may be behind an event.
func TestCacheOfTheServerIsBehind(t *testing.T) {
	for name, stale := range map[string]*Metadata{"not there yet": nil, "the one before": {UID: "p0", Labels: map[string]string{"team": "old"}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := shop()
				w.stale = map[string]*Metadata{"pods shop/web-1": stale}
				e := New(everything(w))
				defer e.Close()
				r := pod("web-1", "p1")
				enriched(e, r)
				if r.Enrichment.Labels["team"] != "shop" || r.Enrichment.Incomplete != "" {
					t.Errorf("%+v", r.Enrichment)
				}
			})
		})
	}
}

// Without a right the records go on, nobody asks again for a while, and one line says which right it is.
func TestRefused(t *testing.T) {
	for why, err := range map[string]error{record.Refused: ErrRefused, record.Unsupported: ErrUnsupported} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := shop()
				w.fails = err
				o := everything(w)
				o.Node = false
				var said strings.Builder
				o.Log = slog.New(slog.NewTextHandler(&said, nil))
				e := New(o)
				defer e.Close()
				for i := range 5 {
					r := pod(fmt.Sprint("pod-", i), "")
					enriched(e, r)
					check(t, "enrichment", r.Enrichment, &record.Enrichment{Incomplete: why})
				}
				check(t, "requests", len(w.requests()), 1)
				elsewhere := pod("web-1", "")
				elsewhere.Object.Namespace = "bank" // where the right may well be there
				enriched(e, elsewhere)
				check(t, "requests", len(w.requests()), 2)
				if strings.Count(said.String(), "level=WARN") != 1 || !strings.Contains(said.String(), "pods") {
					t.Errorf("said %s", said.String())
				}
				w.set(func(w *world) { w.fails = nil })
				time.Sleep(refusal * 2)
				r := pod("web-1", "p1")
				enriched(e, r)
				check(t, "labels after the right was granted", r.Enrichment.Labels["team"], "shop")
			})
		})
	}
}

func TestChainGoesRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.objects["deployments.apps shop/web"] = &Metadata{UID: "d1", Owner: &record.Owner{APIVersion: "v1", Kind: "Pod", Name: "web-1", UID: "p1"}}
		e := New(everything(w))
		defer e.Close()
		r := pod("web-1", "p1")
		enriched(e, r)
		check(t, "owners", len(r.Enrichment.Owners), maxOwners)
	})
}

// An answer is used for some minutes; then the old one serves while a new one is fetched, and nobody waits.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.takes = 10 * time.Millisecond
		o := everything(w)
		o.Owners, o.Node = false, false
		e := New(o)
		defer e.Close()
		label := func() string {
			r := pod("web-1", "p1")
			enriched(e, r)
			return r.Enrichment.Labels["team"]
		}
		check(t, "at first", label(), "shop")
		w.set(func(w *world) {
			w.objects["pods shop/web-1"] = &Metadata{UID: "p1", Labels: map[string]string{"team": "new"}}
		})
		time.Sleep(freshness * 7 / 10)
		check(t, "while it is fresh", label(), "shop")
		check(t, "requests", len(w.requests()), 1)
		time.Sleep(freshness * 6 / 10)
		r := pod("web-1", "p1")
		if took := enriched(e, r); took != 0 || r.Enrichment.Labels["team"] != "shop" {
			t.Errorf("an old answer took %v: %+v", took, r.Enrichment)
		}
		time.Sleep(w.takes)
		synctest.Wait()
		check(t, "then", label(), "new")

		w.set(func(w *world) { w.fails = errors.New("broken") })
		time.Sleep(freshness * 5 / 4)
		check(t, "while it can't be fetched again", label(), "new")
		time.Sleep(time.Second)
		check(t, "and after that has failed", label(), "new")
		time.Sleep(freshness * 5 / 2)
		r = pod("web-1", "p1")
		enriched(e, r)
		check(t, "at last", r.Enrichment, &record.Enrichment{Incomplete: record.Late})
	})
}

// A pod that is nowhere yet is asked for again soon.
func TestUnplacedPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.objects["pods shop/web-1"].Node = ""
		e := New(everything(w))
		defer e.Close()
		r := pod("web-1", "p1")
		enriched(e, r)
		check(t, "node", r.Enrichment.Node, "")
		w.set(func(w *world) {
			placed := *w.objects["pods shop/web-1"]
			placed.Node = "node-3"
			w.objects["pods shop/web-1"] = &placed
		})
		time.Sleep(3 * unplaced)
		enriched(e, r)
		check(t, "zone", r.Enrichment.Zone, "eu-1a")
	})
}
