package backend

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/eventbaton/baton/e2e/receiver"
)

// reads has a protocol read the body that a request came with.
func reads(read func(*http.Request, io.Reader) ([]receiver.Record, error)) func(*http.Request) ([]receiver.Record, error) {
	return func(req *http.Request) ([]receiver.Record, error) { return read(req, req.Body) }
}

func TestReadChat(t *testing.T) {
	const x, y = "c/0f8fad5b-d9cb-469f-a165-70867728950e/", "c/0f8fad5b-d9cb-469f-a165-70867728950f/"
	got, err := readChat([]string{"*3 events*", "a 7 " + x + "1 " + x + "2", "a 7 " + y + "3"})
	if err != nil || len(got) != 3 || got[1].ID != x+"2" || got[2].Leader.Identity != "a" || got[2].Leader.Epoch != 7 {
		t.Error(got, err)
	}
	for _, lines := range [][]string{{"head"}, {"head", "a 7"}, {"head", "and 3 more lines, 4 events"}} {
		if got, err := readChat(lines); err == nil {
			t.Errorf("%q: %v", lines, got)
		}
	}
}

func TestReadTeams(t *testing.T) {
	for _, body := range []string{"", "{}", `{"type":"message","attachments":[{"content":{"type":"Card"}}]}`} {
		if got, err := readTeams(strings.NewReader(body)); err == nil {
			t.Errorf("%q: %v", body, got)
		}
	}
}
