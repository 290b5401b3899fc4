package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/receiver"
)

const uid = "00000000-0000-0000-0000-%012d"

func body(namespace, leader string, epoch, event, rv int) string {
	return fmt.Sprintf(`[{"id":"c/`+uid+`/%d","namespace":%q,"message":"m","count":1,"leader":{"identity":"%s_u_baton_i","epoch":%d}}]`,
		event, rv, namespace, leader, epoch)
}

func post(t *testing.T, f *feed, body string) int {
	t.Helper()
	res, err := http.Post(f.url("baton-0"), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	return res.StatusCode
}

func TestFeed(t *testing.T) {
	f, err := listen(shop)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{
		body(shop, "baton-0", 1, 1, 10), body(shop, "baton-0", 1, 2, 11), body(shop, "baton-2", 2, 2, 11), body(house, "baton-2", 2, 3, 12),
	} {
		if code := post(t, f, b); code != http.StatusOK {
			t.Errorf("%s: %d", b, code)
		}
	}
	if code := post(t, f, "nonsense"); code != http.StatusBadRequest {
		t.Error("nonsense is taken:", code)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
	got := f.now()
	if got.Events != 2 || got.Repeated != 1 || got.Epoch != 2 || got.ByAgent["baton-0"] != 2 || got.ByAgent["baton-2"] != 2 {
		t.Errorf("%+v", got)
	}
	if len(got.Recent) != 4 || got.Recent[3].Agent != "baton-2" || f.receiver.Len() != 3 || len(f.receiver.Bad()) != 1 {
		t.Errorf("%+v, %v", got.Recent, f.receiver.Bad())
	}
	if gap, ok := f.silence(f.receiver.Start()); !ok || gap <= 0 {
		t.Error("no silence between two epochs:", gap)
	}
	if _, ok := f.silence(time.Now()); ok {
		t.Error("a silence before it began")
	}
}

func TestBeats(t *testing.T) {
	var y tally
	y.beat(0, "a")
	y.beat(2*beatLength, "b")
	y.beat(2*beatLength+1, "c")
	if fmt.Sprint(y.Beats) != "[{1 a} {0 } {2 c}]" {
		t.Error(y.Beats)
	}
}

func TestScore(t *testing.T) {
	r := receiver.New()
	f := newFeed(shop)
	f.receiver = r
	at := func(s float64) time.Time { return r.Start().Add(time.Duration(s * float64(time.Second))) }
	windows := []window{{"start", at(-9)}, {"calm", at(-3)}, {"kill", at(-2)}, {"", at(10)}}
	event := func(n int, versions ...generator.Version) generator.Event {
		return generator.Event{UID: fmt.Sprintf(uid, n), Versions: versions}
	}
	made := []generator.Event{
		event(1, generator.Version{RV: 9, At: at(-4)}, generator.Version{RV: 10, At: at(-3.5)}),
		event(2, generator.Version{RV: 11, At: at(-1)}, generator.Version{RV: 12, At: at(-1)}),
	}
	for _, rv := range []int{11, 11} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/a", strings.NewReader(body(shop, "a", 1, 2, rv)))
		if err != nil {
			t.Fatal(err)
		}
		r.ServeHTTP(discard{}, req)
	}
	s := newScore(windows, []time.Time{at(-2.9), at(-2.1), at(-0.6), at(-0.5)})
	s.stored(made, r)
	s.repeated(r)
	want := []row{{"start", 0, 2, 2, 0}, {"calm", 800 * time.Millisecond, 0, 0, 0}, {"kill", 1500 * time.Millisecond, 2, 1, 1}}
	if fmt.Sprint(s.rows) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", s.rows, want)
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
