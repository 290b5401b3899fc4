package receiver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func post(t *testing.T, r *Receiver, body string) {
	t.Helper()
	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/a", strings.NewReader(body)))
}

// fetch takes what the replica lacks from the receiver, by HTTP.
func fetch(t *testing.T, from *Receiver, to *Replica) Part {
	t.Helper()
	query := url.Values{}
	for k, v := range to.Position().Query() {
		query.Set(k, v)
	}
	w := httptest.NewRecorder()
	from.ServeLog(w, httptest.NewRequest(http.MethodGet, "/log?"+query.Encode(), nil))
	var p Part
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err, w.Body)
	}
	return p
}

func TestReplicaIsTheReceiver(t *testing.T) {
	r, replica := New(), NewReplica()
	for i := range 3 {
		post(t, r, line(2*i, "")+line(2*i+1, `,"countDelta":1`))
		post(t, r, "nonsense")
		p := fetch(t, r, replica)
		if len(p.Arrivals) != 2 || len(p.Requests) != 2 || len(p.Bad) != 1 {
			t.Errorf("%+v", p)
		}
		// What comes twice is not counted twice.
		for range 2 {
			if err := replica.Merge(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !reflect.DeepEqual(r.Arrivals(), replica.Arrivals()) || !reflect.DeepEqual(r.Requests(), replica.Requests()) ||
		!reflect.DeepEqual(r.Bad(), replica.Bad()) || !r.Start().Equal(replica.Start()) || replica.Leader(0) != "a_1_c_x" {
		t.Errorf("%+v is not %+v", replica, r)
	}
	v := r.Arrivals()[5].Version
	if !replica.Has(v) || replica.Has(Version{UID: v.UID, RV: 99}) {
		t.Error("what has arrived is not known")
	}
}

func TestReplicaRefuses(t *testing.T) {
	r, replica := New(), NewReplica()
	post(t, r, line(1, ""))
	if err := replica.Merge(fetch(t, r, replica)); err != nil {
		t.Fatal(err)
	}
	other := New()
	part, err := other.Since(Position{})
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Merge(part); err == nil || !strings.Contains(err.Error(), "is lost") {
		t.Error("another receiver's log:", err)
	}
	later, err := r.Since(Position{Arrivals: 1, Requests: 1, Names: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := NewReplica().Merge(later); err == nil || !strings.Contains(err.Error(), "does not join") {
		t.Error("a part with a hole before it:", err)
	}
}

func TestServeLogRefuses(t *testing.T) {
	r := New()
	for query, code := range map[string]int{"arrivals=x": http.StatusBadRequest, "bad=-1": http.StatusBadRequest, "requests=1": http.StatusGone} {
		w := httptest.NewRecorder()
		r.ServeLog(w, httptest.NewRequest(http.MethodGet, "/log?"+query, nil))
		if w.Code != code {
			t.Errorf("%s: %d, want %d: %s", query, w.Code, code, w.Body)
		}
	}
}

func TestUIDIsTextInJSON(t *testing.T) {
	r := New()
	post(t, r, line(1, ""))
	text, err := json.Marshal(r.Arrivals()[0])
	if err != nil || !strings.Contains(string(text), fmt.Sprintf("%q", uid)) {
		t.Errorf("%s %v", text, err)
	}
	var a Arrival
	if err := json.Unmarshal(text, &a); err != nil || a != r.Arrivals()[0] {
		t.Errorf("%+v %v", a, err)
	}
	if err := json.Unmarshal([]byte(`{"UID":"x"}`), &a); err == nil {
		t.Error("x is taken for a UID")
	}
}
