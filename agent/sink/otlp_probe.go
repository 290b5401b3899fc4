package sink

import (
	"bytes"
	"context"
	"net/http"
)

// Probe exports no log record at all, which is a request like any other to a receiver: it is let in or not.
func (o *otlp) Probe(ctx context.Context) error {
	c, err := o.call(0)
	if err != nil {
		return err
	}
	judge := c.judge
	c.judge = func(c call, resp *http.Response, body []byte) error {
		if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnprocessableEntity {
			if bytes.Contains(body, lokiNoStream) {
				return nil
			}
		}
		return judge(c, resp, body)
	}
	if o.opts.Protocol == otlpHTTP {
		return o.deliver(ctx, c, nil)
	}
	framed, err := o.frame(nil)
	if err != nil {
		return err
	}
	c.setBody(framed)
	return o.client.do(ctx, c)
}
