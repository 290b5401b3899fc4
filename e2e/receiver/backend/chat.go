package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/eventbaton/baton/e2e/receiver"
)

// chatLine names the leader and each record, instead of what people would read. A message has at most as many records
// as lines, so that none is left out, and a line has room for twenty.
const chatLine = `{{.Leader.Identity}} {{.Leader.Epoch}} {{join " " .IDs}}`

type taken = func(http.ResponseWriter, []receiver.Record, []bool)

var (
	takenBySlack = func(w http.ResponseWriter, _ []receiver.Record, _ []bool) { _, _ = io.WriteString(w, "ok") }
	takenByTeams = answer(http.StatusAccepted, "")
)

// openChat sends every record, in a message a second.
func openChat(format string, read func(io.Reader) ([]string, error), say taken) func(*opening) error {
	return func(o *opening) error {
		p := receiver.Protocol{Taken: say, Read: func(req *http.Request, body io.Reader) ([]receiver.Record, error) {
			if err := asked(req, "", "application/json"); err != nil {
				return nil, err
			}
			lines, err := read(body)
			if err != nil {
				return nil, err
			}
			return readChat(lines)
		}}
		server, err := o.serve(p)
		if err != nil {
			return err
		}
		o.Options = func(agent string) (map[string]string, error) {
			file, err := o.secret(agent+".url", server.URL(agent))
			return map[string]string{
				"format": format, "url_file": file, "filter": `"true"`, "interval": "1s", "max_lines": "100", "max_batch_records": "100",
				"template": strconv.Quote(chatLine),
			}, err
		}
		return nil
	}
}

func readSlack(body io.Reader) ([]string, error) {
	var message struct{ Text string }
	err := json.NewDecoder(body).Decode(&message)
	return strings.Split(message.Text, "\n• "), err
}

func readTeams(body io.Reader) ([]string, error) {
	var message struct {
		Type        string
		Attachments []struct {
			Content struct {
				Type string
				Body []struct{ Text string }
			}
		}
	}
	if err := json.NewDecoder(body).Decode(&message); err != nil {
		return nil, err
	}
	if message.Type != "message" || len(message.Attachments) != 1 || message.Attachments[0].Content.Type != "AdaptiveCard" {
		return nil, errors.New("not a message with an Adaptive Card")
	}
	var lines []string
	for _, block := range message.Attachments[0].Content.Body {
		lines = append(lines, block.Text)
	}
	return lines, nil
}

// readChat reads a message's lines, the first of which is its head.
func readChat(lines []string) ([]receiver.Record, error) {
	var records []receiver.Record
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("%q does not name a leader and records", line)
		}
		var r receiver.Record
		var err error
		if r.Leader.Epoch, err = strconv.ParseInt(words[1], 10, 64); err != nil {
			return nil, fmt.Errorf("%q does not name a leader and records: %w", line, err)
		}
		r.Leader.Identity = words[0]
		for _, r.ID = range words[2:] {
			if _, err := receiver.ParseID(r.ID); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		return nil, errors.New("a message without any record")
	}
	return records, nil
}
