package generator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fetch takes what the replica lacks from the generator, by HTTP.
func fetch(t *testing.T, g *Generator, r *Replica) Part {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeLog(w, httptest.NewRequest(http.MethodGet, "/log?from="+strconv.Itoa(r.Len()), nil))
	var p Part
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err, w.Body)
	}
	return p
}

func TestReplicaIsTheLog(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	g, r := &Generator{log: &Log{}, began: at}, NewReplica()
	for _, uid := range []string{"u1", "u2"} {
		e := &Event{Name: "e-" + uid, UID: uid, Versions: []Version{{RV: 1, Count: 1, At: at}}}
		g.log.add(e)
		first := fetch(t, g, r)
		for range 2 { // what comes twice is not counted twice
			if err := r.Merge(first); err != nil {
				t.Fatal(err)
			}
		}
		g.log.update(e, Version{RV: 2, Count: 2, At: at})
		if err := r.Merge(fetch(t, g, r)); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(g.log.Events(), r.Events()) || r.Len() != 4 || len(r.Entries(3)) != 1 || len(r.Entries(9)) != 0 {
		t.Errorf("%+v is not %+v", r.Events(), g.log.Events())
	}
}

func TestReplicaRefuses(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	r := NewReplica()
	if err := r.Merge(Part{Began: at, From: 1}); err == nil || !strings.Contains(err.Error(), "does not join") {
		t.Error("a part with a hole before it:", err)
	}
	if err := r.Merge(Part{Began: at.Add(time.Second)}); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Error("another generator's log:", err)
	}
}

func TestServeLogRefuses(t *testing.T) {
	w := httptest.NewRecorder()
	(&Generator{log: &Log{}}).ServeLog(w, httptest.NewRequest(http.MethodGet, "/log?from=-1", nil))
	if w.Code != http.StatusBadRequest {
		t.Error(w.Code, w.Body)
	}
}
