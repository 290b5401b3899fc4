package receiver

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Record is what is read of a record.
type Record struct {
	ID         string `json:"id"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	Message    string `json:"message"`
	Count      int64  `json:"count"`
	CountDelta *int64 `json:"countDelta"`
	Leader     struct {
		Identity string `json:"identity"`
		Epoch    int64  `json:"epoch"`
	} `json:"leader"`
}

// Protocol is how records come by HTTP, and how the answer says that they were taken.
type Protocol struct {
	// Read reads a request, whose body is no longer compressed.
	Read func(req *http.Request, body io.Reader) ([]Record, error)
	// Taken, where set, answers to what was taken, instead of a 200 without a word. again says of each record whether it
	// had been taken before.
	Taken func(w http.ResponseWriter, records []Record, again []bool)
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	sender, _, _ := strings.Cut(strings.Trim(req.URL.Path, "/"), "/") // what follows is the protocol's
	request := Request{Sender: sender, Began: time.Since(r.start)}
	body := &counter{r: req.Body}
	records, err := r.read(req, body)
	request.At, request.Records, request.Bytes = time.Since(r.start), len(records), body.n
	if err != nil {
		// A request that was cut off is the network's doing, not the sender's.
		if req.Context().Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			r.Complain(fmt.Sprintf("a request of %s: %v", sender, err))
		}
		r.note(request, http.StatusBadRequest)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.answer(w, req, request, records)
}

func (r *Receiver) answer(w http.ResponseWriter, req *http.Request, request Request, records []Record) {
	m, changed := r.modeOf(request.Sender)
	switch {
	case m.Hang:
		r.note(request, 0)
		<-req.Context().Done()
	case m.Reset:
		r.note(request, 0)
		reset(w)
	case m.Status != 0:
		if m.RetryAfter != "" {
			w.Header().Set("Retry-After", m.RetryAfter)
		}
		r.note(request, m.Status)
		http.Error(w, "as the test asked", m.Status)
	case m.refuses(records):
		r.note(request, http.StatusBadRequest)
		http.Error(w, "a record is refused", http.StatusBadRequest)
	default:
		again := r.accept(request, records)
		r.delay(req, m.Delay, changed)
		if r.protocol.Taken != nil {
			r.protocol.Taken(w, records, again)
			return
		}
		w.WriteHeader(http.StatusOK)
	}
}

// Take takes records that came by another way than HTTP: in one request, which began then. at is when it had been read.
func (r *Receiver) Take(sender string, began, at time.Time, records []Record) {
	request := Request{Sender: sender, Began: began.Sub(r.start), At: at.Sub(r.start), Records: len(records)}
	r.accept(request, records)
}

func (r *Receiver) delay(req *http.Request, d time.Duration, changed <-chan struct{}) {
	if d == 0 {
		return
	}
	r.hold(changed, 1)
	defer r.hold(changed, -1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-req.Context().Done():
	}
}

func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (m Mode) refuses(records []Record) bool {
	if m.Refuse == nil {
		return false
	}
	return slices.ContainsFunc(records, m.Refuse)
}

func (r *Receiver) note(request Request, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteLocked(request, status)
}

func (r *Receiver) noteLocked(request Request, status int) int32 {
	request.Status = status
	r.requests = append(r.requests, request)
	return int32(len(r.requests) - 1)
}

// accept says of each record whether it had been taken before.
func (r *Receiver) accept(request Request, records []Record) (again []bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.noteLocked(request, http.StatusOK)
	again = make([]bool, len(records))
	for i, rec := range records {
		v, err := ParseID(rec.ID)
		if err != nil {
			r.bad = append(r.bad, fmt.Sprintf("a record of %s: %v", request.Sender, err))
			continue
		}
		a := Arrival{Version: v, At: request.At, Count: rec.Count, Epoch: rec.Leader.Epoch, Request: n}
		if rec.CountDelta != nil {
			a.Delta, a.HasDelta = *rec.CountDelta, true
		}
		again[i] = r.seen[v] > 0
		r.take(cmp.Or(rec.Leader.Identity, request.Sender), a)
	}
	return again
}

// read reads a request, plain or compressed, as the protocol has it.
func (r *Receiver) read(req *http.Request, body io.Reader) ([]Record, error) {
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("reading gzip: %w", err)
		}
		body = z
	}
	return r.protocol.Read(req, body)
}

// readWebhook reads a JSON array or one JSON object a line.
func readWebhook(_ *http.Request, body io.Reader) ([]Record, error) {
	buffered := bufio.NewReader(body)
	first, err := buffered.Peek(1)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	d := json.NewDecoder(buffered)
	if first[0] == '[' {
		var records []Record
		if err := d.Decode(&records); err != nil {
			return nil, fmt.Errorf("reading a JSON array: %w", err)
		}
		return records, nil
	}
	return lines(d)
}

func lines(d *json.Decoder) ([]Record, error) {
	var records []Record
	for {
		var r Record
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading record %d: %w", len(records)+1, err)
		}
		records = append(records, r)
	}
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
