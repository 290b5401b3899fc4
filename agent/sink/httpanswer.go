package sink

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// retryAfterMax bounds what a receiver may ask for: one that says "tomorrow" by mistake costs no day.
const retryAfterMax = 5 * time.Minute

// outcome judges an answer: done; refused for good (400, 413, 422); or to be tried again, later where the receiver
// asks for it (408, 425, 429, 5xx). All other answers come from a wrong URL or key, or from something in between, and
// are tried again as well: none of them says anything about the records.
func (c call) outcome(resp *http.Response, body []byte, now time.Time) error {
	code := resp.StatusCode
	if code/100 == 2 {
		return nil
	}
	err := c.answered(resp, body)
	switch {
	case code == 400 && wantsTLS(body):
		return fmt.Errorf("%w (it speaks TLS: write https)", err)
	case code == 400 || code == 413 || code == 422:
		return &Refused{Err: err}
	case code == 408 || code == 425 || code == 429 || code >= 500:
		after := retryAfter(resp.Header.Get("Retry-After"), now)
		if after == 0 && c.reset != "" {
			after = retryAfter(resp.Header.Get(c.reset), now)
		}
		if after > 0 {
			return &RetryAfter{Err: err, After: after}
		}
	}
	return err
}

// wantsTLS knows the answer to a request without TLS where it was expected, by net/http's servers and by nginx. It is the
// one 400 that a wrong URL gets.
func wantsTLS(body []byte) bool {
	return bytes.Contains(body, []byte("Client sent an HTTP request to an HTTPS server")) ||
		bytes.Contains(body, []byte("The plain HTTP request was sent to HTTPS port"))
}

func (c call) answered(resp *http.Response, body []byte) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: answered %d", c.shown, resp.StatusCode)
	if name := http.StatusText(resp.StatusCode); name != "" {
		text.WriteString(" " + name)
	}
	if hint := hintFor(resp); hint != "" {
		text.WriteString(" (" + hint + ")")
	}
	if said := c.clean(string(body)); said != "" {
		text.WriteString(": " + said)
	}
	return errors.New(text.String())
}

// hintFor says what to look at where the answer can't be about the records.
func hintFor(resp *http.Response) string {
	switch code := resp.StatusCode; {
	case code == 401 || code == 403:
		return "check the credentials"
	case code == 404 || code == 405 || code == 410:
		return "check the URL and the method"
	case code == 407:
		return "check the proxy's credentials"
	case code/100 == 3:
		return "redirects are not followed, so that records and secrets go only where the configuration says" +
			pointingTo(resp)
	case code < 500 && code != 400 && code != 408 && code != 413 && code != 422 && code != 425 && code != 429:
		return "not an answer that a receiver of records gives; check the URL"
	}
	return ""
}

// pointingTo shows the host alone: the rest may repeat what is secret in the URL.
func pointingTo(resp *http.Response) string {
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return ""
	}
	return fmt.Sprintf("; this one points to %.100q", to.Scheme+"://"+to.Host)
}

// retryAfter reads the header of that name, in seconds or as a date. It is 0 where the header is absent, unreadable or
// in the past, and at most retryAfterMax.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(retryAfterMax/time.Second))) * time.Second
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), retryAfterMax)
}

// clean gives the beginning of what the other side sent, on one line, without control characters and without the
// call's secrets.
func (c call) clean(s string) string {
	s = strings.ReplaceAll(s, `\/`, "/") // as some write a URL in JSON
	for _, secret := range c.secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, string(secret), redacted)
		}
	}
	return printable(s, shownBody)
}

// printable gives at most n bytes of s, and " ..." where that is not all. What can't be printed becomes a space, and
// runs of spaces become one.
func printable(s string, n int) string {
	if len(s) > 16*n {
		s = s[:16*n]
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r) || unicode.IsSpace(r)
	}), " ")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + " ..."
}
