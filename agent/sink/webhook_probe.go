package sink

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Probe asks with OPTIONS, and with all that the requests with records carry: a receiver could take an empty one of those
// for an event. Who doesn't know that method says so, and is there.
func (w *webhook) Probe(ctx context.Context) error {
	c, err := w.prepare()
	if err != nil {
		return err
	}
	c.request.Method = http.MethodOptions
	c.request.Header.Del("Content-Encoding")
	if err := w.sign(&c, nil, time.Now()); err != nil {
		return err
	}
	c.judge = judgeOptions
	return w.client.do(ctx, c)
}

// judgeOptions takes what is about the request that OPTIONS isn't for an answer of a receiver that is there.
func judgeOptions(c call, resp *http.Response, body []byte) error {
	switch resp.StatusCode {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusBadRequest, http.StatusLengthRequired,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		if !wantsTLS(body) {
			return nil
		}
	case http.StatusNotFound:
		return fmt.Errorf("%w; it was asked with OPTIONS, which some receivers don't find where they would find %s",
			c.answered(resp, body), http.MethodPost)
	}
	return c.outcome(resp, body, time.Now())
}

// LeavesOpen says what OPTIONS can't tell.
func (*WebhookOptions) LeavesOpen() string {
	return "it was asked with OPTIONS: whether it takes records, and from whom, shows with the first one"
}
