package receiver

import (
	"bufio"
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

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	sender := strings.Trim(req.URL.Path, "/")
	request := Request{Sender: sender, Began: time.Since(r.start)}
	body := &counter{r: req.Body}
	records, err := decode(body, req.Header.Get("Content-Encoding"))
	request.At, request.Records, request.Bytes = time.Since(r.start), len(records), body.n
	if err != nil {
		// A request that was cut off is the network's doing, not the sender's.
		if req.Context().Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			r.complain(fmt.Sprintf("a request of %s: %v", sender, err))
		}
		r.note(request, http.StatusBadRequest)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.answer(w, req, r.modeOf(sender), request, records)
}

func (r *Receiver) answer(w http.ResponseWriter, req *http.Request, m Mode, request Request, records []Record) {
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
		r.accept(request, records)
		delay(req, m.Delay)
		w.WriteHeader(http.StatusOK)
	}
}

func delay(req *http.Request, d time.Duration) {
	if d == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
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

func (r *Receiver) accept(request Request, records []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.noteLocked(request, http.StatusOK)
	for _, rec := range records {
		v, err := ParseID(rec.ID)
		if err != nil {
			r.bad = append(r.bad, fmt.Sprintf("a record of %s: %v", request.Sender, err))
			continue
		}
		a := Arrival{Version: v, At: request.At, Count: rec.Count, Epoch: rec.Leader.Epoch, Request: n}
		if rec.CountDelta != nil {
			a.Delta, a.HasDelta = *rec.CountDelta, true
		}
		r.take(rec.Leader.Identity, a)
	}
}

// decode reads a JSON array or one JSON object a line, plain or compressed.
func decode(body io.Reader, encoding string) ([]Record, error) {
	if encoding == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("reading gzip: %w", err)
		}
		body = z
	}
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
