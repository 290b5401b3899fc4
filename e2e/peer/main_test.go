package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing":         {nil, exitUsage, "peer receiver"},
		"no such command": {[]string{"sender"}, exitUsage, "peer generator"},
		"no such flag":    {[]string{"receiver", "-speed"}, exitUsage, "-speed"},
		"too much":        {[]string{"receiver", "now"}, exitUsage, `["now"]`},
		"bad address":     {[]string{"receiver", "-listen", "nowhere"}, exitFailed, "--listen nowhere"},
		"no cluster":      {[]string{"generator", "-listen", "127.0.0.1:0"}, exitFailed, "API server"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := dispatch(t.Context(), io.Discard, &stderr, c.args); code != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("exit code %d, want %d and %q: %s", code, c.code, c.want, &stderr)
			}
		})
	}
}

func TestHealthz(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	done := make(chan int, 1)
	go func() { done <- dispatch(ctx, in, io.Discard, []string{"receiver", "-listen", "127.0.0.1:0"}) }()
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "listening on "))
	response, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
