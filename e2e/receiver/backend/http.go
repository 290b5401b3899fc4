package backend

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventbaton/baton/e2e/receiver"
)

// server is one for an HTTP protocol.
type server struct{ *receiver.Server }

func (s server) Fail() { s.Set(receiver.Mode{Status: http.StatusServiceUnavailable}) }

func (s server) Up() error {
	s.Set(receiver.Mode{})
	return s.Server.Up()
}

// Webhook is a server that has been started, as a backend; the options of its sinks are the caller's.
func Webhook(s *receiver.Server) *Backend {
	return &Backend{Kind: Kind{Name: "webhook", Type: "webhook"}, Receiver: s.Receiver, service: server{s}}
}

// serve starts a server for an HTTP protocol.
func (o *opening) serve(p receiver.Protocol) (server, error) {
	s, err := receiver.ListenFor(p)
	if err != nil {
		return server{}, err
	}
	o.Receiver, o.service = s.Receiver, server{s}
	return server{s}, nil
}

// listen does so for sinks that have the agent in the URL and these options besides.
func (o *opening) listen(p receiver.Protocol, more map[string]string) error {
	server, err := o.serve(p)
	if err != nil {
		return err
	}
	o.Options = func(agent string) (map[string]string, error) {
		options := maps.Clone(more)
		options["url"] = strconv.Quote(server.URL(agent))
		return options, nil
	}
	return nil
}

// answer is a way to say that something was taken: always the same.
func answer(status int, body string) func(http.ResponseWriter, []receiver.Record, []bool) {
	return func(w http.ResponseWriter, _ []receiver.Record, _ []bool) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // who has gone sends again
	}
}

// asked checks a request's head.
func asked(req *http.Request, path, contentType string) error {
	if req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, path) {
		return fmt.Errorf("%s %s is not POST %s", req.Method, req.URL.Path, path)
	}
	if got := req.Header.Get("Content-Type"); got != contentType {
		return fmt.Errorf("the content is said to be %q, not %s", got, contentType)
	}
	return nil
}

const datadogKey = "0123456789abcdef0123456789abcdef"

func (o *opening) listenAsDatadog(p receiver.Protocol, more map[string]string) error {
	key, err := o.secret("api-key", datadogKey)
	if err != nil {
		return err
	}
	more["api_key_file"] = key
	return o.listen(p, more)
}

func askedOfDatadog(req *http.Request, path string) error {
	if got := req.Header.Get("DD-API-KEY"); got != datadogKey {
		return fmt.Errorf("the API key is %q", got)
	}
	return asked(req, path, "application/json")
}

// openDatadogEvents has the whole record in an event's text, because an event has no field for its id or its counts.
func openDatadogEvents(o *opening) error {
	return o.listenAsDatadog(receiver.Protocol{Read: readDatadogEvent, Taken: answer(http.StatusAccepted, `{"status":"ok"}`)},
		map[string]string{"mode": "events", "text": `"{{json .Record}}"`})
}

func readDatadogEvent(req *http.Request, body io.Reader) ([]receiver.Record, error) {
	var event struct{ Title, Text string }
	if err := errors.Join(askedOfDatadog(req, "/api/v1/events"), json.NewDecoder(body).Decode(&event)); err != nil {
		return nil, err
	}
	var r receiver.Record
	if err := json.Unmarshal([]byte(event.Text), &r); err != nil {
		return nil, fmt.Errorf("the text %q: %w", event.Text, err)
	}
	return []receiver.Record{r}, nil
}

func openDatadogLogs(o *opening) error {
	return o.listenAsDatadog(receiver.Protocol{Read: readDatadogLogs, Taken: answer(http.StatusAccepted, "{}")},
		map[string]string{"mode": "logs"})
}

func readDatadogLogs(req *http.Request, body io.Reader) ([]receiver.Record, error) {
	var logs []struct {
		ID    string
		Event receiver.Record
	}
	if err := errors.Join(askedOfDatadog(req, "/api/v2/logs"), json.NewDecoder(body).Decode(&logs)); err != nil {
		return nil, err
	}
	records := make([]receiver.Record, len(logs))
	for i, l := range logs {
		if records[i] = l.Event; l.ID != l.Event.ID {
			return nil, fmt.Errorf("a log has the id %q, its event %q", l.ID, l.Event.ID)
		}
	}
	return records, nil
}

func openElasticsearch(o *opening) error {
	return o.listen(receiver.Protocol{Read: readBulk, Taken: takenByBulk}, map[string]string{"index": "events-%Y.%m.%d"})
}

// readBulk reads two lines a record: what to do, and the document.
func readBulk(req *http.Request, body io.Reader) ([]receiver.Record, error) {
	if err := asked(req, "/_bulk", "application/x-ndjson"); err != nil {
		return nil, err
	}
	var records []receiver.Record
	for d := json.NewDecoder(bufio.NewReader(body)); ; {
		var action struct {
			Create *struct {
				ID string `json:"_id"`
			}
		}
		err := d.Decode(&action)
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil || action.Create == nil {
			return nil, fmt.Errorf("operation %d is no create: %w", len(records)+1, err)
		}
		var r receiver.Record
		if err := d.Decode(&r); err != nil {
			return nil, fmt.Errorf("document %d: %w", len(records)+1, err)
		}
		if r.ID != action.Create.ID {
			return nil, fmt.Errorf("the document %q has the _id %q", r.ID, action.Create.ID)
		}
		records = append(records, r)
	}
}

// takenByBulk answers 409 for a document that was there.
func takenByBulk(w http.ResponseWriter, _ []receiver.Record, again []bool) {
	type result struct {
		Status int               `json:"status"`
		Error  map[string]string `json:"error,omitempty"`
	}
	var said struct {
		Errors bool                `json:"errors"`
		Items  []map[string]result `json:"items"`
	}
	for _, there := range again {
		item := result{Status: http.StatusCreated}
		if there {
			said.Errors = true
			item = result{http.StatusConflict, map[string]string{"type": "version_conflict_engine_exception", "reason": "it is there"}}
		}
		said.Items = append(said.Items, map[string]result{"create": item})
	}
	text, err := json.Marshal(said)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // who has gone sends again
}

// openLoki has whole records as lines. They lack the leader, so that Loki knows a repeat.
func openLoki(o *opening) error {
	return o.listen(receiver.Protocol{Read: readPush, Taken: answer(http.StatusNoContent, "")}, map[string]string{"line": "json"})
}

func readPush(req *http.Request, body io.Reader) ([]receiver.Record, error) {
	var push struct {
		Streams []struct {
			Stream map[string]string
			Values [][]json.RawMessage // time, line, metadata
		}
	}
	if err := errors.Join(asked(req, "/loki/api/v1/push", "application/json"), json.NewDecoder(body).Decode(&push)); err != nil {
		return nil, err
	}
	var records []receiver.Record
	for _, s := range push.Streams {
		if len(s.Stream) == 0 {
			return nil, errors.New("a stream has no label")
		}
		for _, value := range s.Values {
			r, err := readEntry(value)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", len(records)+1, err)
			}
			records = append(records, r)
		}
	}
	return records, nil
}

func readEntry(value []json.RawMessage) (receiver.Record, error) {
	var r receiver.Record
	if len(value) != 3 {
		return r, fmt.Errorf("%d parts", len(value))
	}
	var at, line string
	metadata := map[string]string{}
	if err := errors.Join(json.Unmarshal(value[0], &at), json.Unmarshal(value[1], &line), json.Unmarshal(value[2], &metadata)); err != nil {
		return r, err
	}
	if _, err := strconv.ParseInt(at, 10, 64); err != nil {
		return r, fmt.Errorf("its time: %w", err)
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return r, fmt.Errorf("the line %q: %w", line, err)
	}
	if r.ID != metadata["id"] {
		return r, fmt.Errorf("the line of %q says in its metadata %q", r.ID, metadata["id"])
	}
	return r, nil
}

func openCloudEvents(mode string) func(*opening) error {
	return func(o *opening) error {
		return o.listen(receiver.Protocol{Read: readCloudEvents, Taken: answer(http.StatusAccepted, "")}, map[string]string{"mode": mode})
	}
}

// readCloudEvents reads events of any mode by CloudEvents' own library.
func readCloudEvents(req *http.Request, body io.Reader) ([]receiver.Record, error) {
	req.Body = io.NopCloser(body)
	events, err := cloudEvents(req)
	if err != nil {
		return nil, err
	}
	records := make([]receiver.Record, len(events))
	for i, e := range events {
		if err := errors.Join(e.Validate(), e.DataAs(&records[i])); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		if records[i].ID != e.ID() {
			return nil, fmt.Errorf("the event %q has the data of %q", e.ID(), records[i].ID)
		}
	}
	return records, nil
}

func cloudEvents(req *http.Request) ([]cloudevents.Event, error) {
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/cloudevents-batch+json") {
		return cehttp.NewEventsFromHTTPRequest(req)
	}
	for name, values := range req.Header { // which the library leaves to others
		if strings.HasPrefix(name, "Ce-") {
			var err error
			if values[0], err = url.PathUnescape(values[0]); err != nil {
				return nil, fmt.Errorf("the header %s: %w", name, err)
			}
		}
	}
	e, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil {
		return nil, err
	}
	return []cloudevents.Event{*e}, nil
}
