package sink

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

func jsonSize(r *record.Record) int { return len(r.AppendJSON(nil)) }

func TestFitMessage(t *testing.T) {
	for name, message := range map[string]string{
		"ASCII": strings.Repeat("m", 5000), "Unicode": strings.Repeat("ü", 2500), "escapes": strings.Repeat("\x01", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			r := records(1)[0]
			bare := jsonSize(r) - len(r.Message)
			r.Message = message
			for _, limit := range []int{bare + 40, bare + 41, bare + 42, bare + 1000, bare + 4999} {
				got, ok := fitMessage(r, limit, jsonSize)
				if !ok || jsonSize(got) > limit || jsonSize(got) < limit-7 {
					t.Fatalf("%v, %d bytes, limit %d", ok, jsonSize(got), limit)
				}
				if !strings.HasSuffix(got.Message, " ... [truncated from 5000 bytes]") || !utf8.ValidString(got.Message) {
					t.Errorf("message %.50q", got.Message)
				}
				if got == r || len(r.Message) != 5000 || got.ID != r.ID {
					t.Error("the record itself was changed, or another one came out")
				}
			}
			if _, ok := fitMessage(r, bare, jsonSize); ok {
				t.Error("no message fits, and yet one did")
			}
		})
	}
	r := records(1)[0]
	if got, ok := fitMessage(r, jsonSize(r), jsonSize); !ok || got != r {
		t.Error("a record that fits was changed")
	}
}
