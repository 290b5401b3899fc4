package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/eventbaton/baton/e2e/receiver"
)

const uid = "0f8fad5b-d9cb-469f-a165-70867728950e"

func record(rv int) string {
	return fmt.Sprintf(`{"id":"c/%s/%d","count":1,"leader":{"identity":"a_1_c_x","epoch":3}}`, uid, rv)
}

// do asks the peer's own HTTP server.
func do(t *testing.T, server *httptest.Server, method, path string) string {
	t.Helper()
	req, err := http.NewRequest(method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	if method != http.MethodGet {
		return ""
	}
	var p receiver.Part
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(len(p.Arrivals))
}

// receiverAt is the command with this address for the records.
func receiverAt(t *testing.T, records string) func(context.Context, *http.ServeMux) error {
	t.Helper()
	f := flag.NewFlagSet("receiver", flag.ContinueOnError)
	run := receiverCommand(f)
	if err := f.Parse([]string{"-records", records}); err != nil {
		t.Fatal(err)
	}
	return run
}

func TestReceiver(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	d := &door{address: "127.0.0.1:0", senders: &senders{receivers: map[string]*receiver.Receiver{}}}
	if err := d.open(ctx); err != nil {
		t.Fatal(err)
	}
	records := "http://" + d.address
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	run := receiverAt(t, d.address)
	done := make(chan error, 1)
	go func() { done <- run(ctx, mux) }()
	send := func(sender string, rv int) error {
		res, err := http.Post(records+"/"+sender, "application/json", strings.NewReader(record(rv)))
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	for send("a", 1) != nil { // until it listens
		if ctx.Err() != nil {
			t.Fatal("the receiver does not listen")
		}
	}
	if err := send("b", 2); err != nil {
		t.Fatal(err)
	}
	if err := send("b", 3); err != nil {
		t.Fatal(err)
	}
	if a, b, c := do(t, server, http.MethodGet, "/log/a"), do(t, server, http.MethodGet, "/log/b?arrivals=1&requests=1"), do(t, server, http.MethodGet, "/log/c"); a != "1" || b != "1" || c != "0" {
		t.Error(a, b, c)
	}
	for range 2 {
		do(t, server, http.MethodPost, "/close")
	}
	if send("a", 4) == nil {
		t.Error("a receiver that is closed answers")
	}
	for range 2 {
		do(t, server, http.MethodPost, "/open")
	}
	if err := send("a", 5); err != nil {
		t.Error(err)
	}
	if a := do(t, server, http.MethodGet, "/log/a"); a != "2" {
		t.Error("what was taken before is gone:", a)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
