package receiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const uid = "0f8fad5b-d9cb-469f-a165-70867728950e"

func line(rv int, extra string) string {
	return fmt.Sprintf(`{"id":"c/%s/%d","name":"e%d","count":%d%s,"leader":{"identity":"a_1_c_x","epoch":3}}`, uid, rv, rv, rv, extra)
}

func server(t *testing.T) *Server {
	t.Helper()
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); s.Close() })
	return s
}

func send(ctx context.Context, s *Server, body string, encoding string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL("a"), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Encoding", encoding)
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		_ = res.Body.Close()
	}
	return res, err
}

func TestTakes(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(line(6, "")))
	_ = z.Close()
	s := server(t)
	for _, test := range []struct{ body, encoding string }{
		{"[" + line(1, "") + "," + line(2, `,"countDelta":1`) + "]", ""},
		{line(3, "") + "\n" + line(4, "") + "\n", ""},
		{line(4, ""), ""},
		{zipped.String(), "gzip"},
	} {
		res, err := send(t.Context(), s, test.body, test.encoding)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
	}
	if got := s.Arrivals(); len(got) != 6 || s.Len() != 5 || len(s.Requests()) != 4 || len(s.Bad()) > 0 {
		t.Fatal(len(got), s.Len(), s.Requests(), s.Bad())
	}
	a := s.Arrivals()[1]
	if a.RV != 2 || a.UID.String() != uid || a.Count != 2 || a.Delta != 1 || !a.HasDelta || a.Epoch != 3 || s.Leader(a.Leader) != "a_1_c_x" {
		t.Errorf("%+v", a)
	}
	if s.Delivered()["a_1_c_x"] != 6 || !s.Has(a.Version) || s.Has(Version{UID: a.UID, RV: 9}) || s.Requests()[0].Sender != "a" {
		t.Error(s.Delivered(), s.Requests())
	}
}

func TestComplains(t *testing.T) {
	s := server(t)
	for _, body := range []string{`{"id":"x"}`, `{"id":"c/1/2"}`, `{"id":"c/` + uid + `/x"}`, `nonsense`, `[1]`} {
		if _, err := send(t.Context(), s, body, ""); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Bad()) != 5 || s.Len() != 0 {
		t.Error(s.Bad())
	}
}

// Another protocol has a body of its own, a path after the sender's name, and an answer about each record.
func TestAnotherProtocol(t *testing.T) {
	var answers [][]bool
	s, err := ListenFor(Protocol{
		Read: func(req *http.Request, body io.Reader) ([]Record, error) {
			id, err := io.ReadAll(body)
			if req.URL.Path != "/a/api/push" {
				return nil, errors.New("not /a/api/push")
			}
			return []Record{{ID: string(id)}}, err
		},
		Taken: func(w http.ResponseWriter, _ []Record, again []bool) {
			answers = append(answers, again)
			w.WriteHeader(http.StatusNoContent)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); s.Close() })
	for range 2 {
		res, err := http.Post(s.URL("a")+"/api/push", "", strings.NewReader("c/"+uid+"/3"))
		if err != nil || res.StatusCode != http.StatusNoContent {
			t.Fatal(res, err)
		}
		_ = res.Body.Close()
	}
	if fmt.Sprint(answers) != "[[false] [true]]" || s.Len() != 1 || s.Delivered()["a"] != 2 || s.Requests()[0].Sender != "a" {
		t.Error(answers, s.Delivered(), s.Requests())
	}
}

func TestTake(t *testing.T) {
	r := New()
	var rec Record
	rec.ID, rec.Leader.Identity = "c/"+uid+"/3", "a_1_c_x"
	r.Take("sender", r.Start().Add(time.Second), r.Start().Add(2*time.Second), []Record{rec, {ID: "nonsense"}})
	request := Request{Sender: "sender", Began: time.Second, At: 2 * time.Second, Records: 2, Status: http.StatusOK}
	if got := r.Arrivals(); len(got) != 1 || got[0].At != 2*time.Second || r.Requests()[0] != request || len(r.Bad()) != 1 {
		t.Errorf("%+v %+v %v", got, r.Requests(), r.Bad())
	}
}

func TestMisbehaves(t *testing.T) {
	s := server(t)
	second := func(r Record) bool { return r.Name == "e2" }
	for _, test := range []struct {
		name   string
		mode   Mode
		body   string
		status int // 0: no answer
		taken  bool
	}{
		{"status", Mode{Status: 429, RetryAfter: "7"}, line(10, ""), 429, false},
		{"reset", Mode{Reset: true}, line(11, ""), 0, false},
		{"hang", Mode{Hang: true}, line(12, ""), 0, false},
		{"slow", Mode{Delay: 10 * time.Millisecond}, line(13, ""), 200, true},
		{"refused", Mode{Refuse: second}, line(14, "") + line(2, ""), 400, false},
		{"not refused", Mode{Refuse: second}, line(15, ""), 200, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := s.Len()
			s.SetFor("a", test.mode)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			res, err := send(ctx, s, test.body, "")
			if test.status == 0 && err == nil || test.status != 0 && (err != nil || res.StatusCode != test.status) {
				t.Fatal(res, err)
			}
			if res != nil && res.Header.Get("Retry-After") != test.mode.RetryAfter {
				t.Error(res.Header)
			}
			if (s.Len() > before) != test.taken {
				t.Error(s.Len(), before)
			}
		})
	}
	s.Set(Mode{})
	if res, err := send(t.Context(), s, line(20, ""), ""); err != nil || res.StatusCode != http.StatusOK {
		t.Error(res, err)
	}
}

func TestSetEndsADelay(t *testing.T) {
	s := server(t)
	s.Set(Mode{Delay: time.Hour})
	answered := make(chan error)
	go func() {
		_, err := send(t.Context(), s, line(1, ""), "")
		answered <- err
	}()
	for s.Held() == 0 {
		select {
		case err := <-answered:
			t.Fatal("answered before it was time", err)
		default:
			time.Sleep(time.Millisecond)
		}
	}
	if s.Len() != 1 || s.Held() != 1 {
		t.Errorf("%d have arrived, %d wait for their answer", s.Len(), s.Held())
	}
	s.Set(Mode{Delay: time.Millisecond})
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if _, err := send(t.Context(), s, line(2, ""), ""); err != nil || s.Held() != 0 {
		t.Errorf("%v; %d wait, and all were answered", err, s.Held())
	}
}

func TestDownAndUp(t *testing.T) {
	s := server(t)
	s.Down()
	s.Down()
	if _, err := send(t.Context(), s, line(1, ""), ""); err == nil {
		t.Error("a receiver that is down answers")
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if _, err := send(t.Context(), s, line(1, ""), ""); err != nil || s.Len() != 1 {
		t.Error(err, s.Len())
	}
}
