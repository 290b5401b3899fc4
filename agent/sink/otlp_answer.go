package sink

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	otlpProtobuf = "application/x-protobuf"
	grpcHeader   = 5
)

// The codes of gRPC (its guide, Status codes) that are treated by themselves.
const (
	grpcOK                = 0
	grpcInvalidArgument   = 3
	grpcNotFound          = 5
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcUnauthenticated   = 16
)

var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
}

// judgeHTTP judges the answer to a batch of n over HTTP. An error has a google.rpc.Status as its body.
func (o *otlp) judgeHTTP(c call, resp *http.Response, body []byte, n int) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode/100 != 2 {
		if kind == otlpProtobuf {
			if s, ok := parseStatus(body); ok {
				body = []byte(s.message)
			}
		}
		return c.outcome(resp, body, time.Now())
	}
	var p partial
	ok := true
	switch {
	case len(body) == 0: // of protobuf's messages an empty one
	case kind == otlpProtobuf:
		p, ok = parsePartial(body)
	case kind == "application/json":
		p, ok = parsePartialJSON(body)
	case kind == "text/html":
		ok = false
	}
	if !ok {
		return fmt.Errorf("%s: answered %d with something that no receiver of OTLP says; check the URL", c.shown, resp.StatusCode)
	}
	return o.judgePartial(c, p, n)
}

// judgeGRPC judges the answer to a batch of n over gRPC: the status is in the trailers, or where there is nothing else in
// the headers.
func (o *otlp) judgeGRPC(c call, resp *http.Response, body []byte, n int) error {
	if resp.StatusCode != http.StatusOK {
		return judgeBetween(c.outcome(resp, body, time.Now()), resp.StatusCode)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/grpc") {
		return fmt.Errorf("%s: answered with %.50q, which is not gRPC; check the URL, or set protocol to http", c.shown, kind)
	}
	from := resp.Trailer
	if from.Get("Grpc-Status") == "" {
		from = resp.Header
	}
	code, err := strconv.Atoi(from.Get("Grpc-Status"))
	if err != nil {
		return fmt.Errorf("%s: the answer was cut off: it has no grpc-status", c.shown)
	}
	if code != grpcOK {
		return c.grpcOutcome(code, from)
	}
	message, err := unframe(body, resp.Header.Get("Grpc-Encoding"))
	if err != nil {
		return fmt.Errorf("%s: the answer can't be read: %w", c.shown, err)
	}
	p, ok := parsePartial(message)
	if !ok {
		return fmt.Errorf("%s: the answer is no ExportLogsServiceResponse; check the URL", c.shown)
	}
	return o.judgePartial(c, p, n)
}

// judgeBetween is for a status of HTTP where gRPC has always 200: something in between gave it, which can judge the size
// of a request and nothing else of it.
func judgeBetween(err error, code int) error {
	if refused, ok := errors.AsType[*Refused](err); ok && code != http.StatusRequestEntityTooLarge {
		return refused.Err
	}
	return err
}

// grpcOutcome judges a failure as the OTLP specification does (OTLP/gRPC, Failures), with two exceptions, so that nothing
// is lost: what blames the credentials or the receiver itself says nothing of the records, and is tried again; and so is
// RESOURCE_EXHAUSTED without a time to wait, unless it is about the size, as grpc-go and grpc-java put it.
func (c call) grpcOutcome(code int, from http.Header) error {
	said, err := url.PathUnescape(from.Get("Grpc-Message"))
	if err != nil {
		said = from.Get("Grpc-Message")
	}
	name := strconv.Itoa(code)
	if code > 0 && code < len(grpcCodes) {
		name = grpcCodes[code]
	}
	text := fmt.Sprintf("%s: answered %s", c.shown, name)
	if hint := grpcHint(code); hint != "" {
		text += " (" + hint + ")"
	}
	if said = c.clean(said); said != "" {
		text += ": " + said
	}
	err = errors.New(text)
	tooLarge := strings.Contains(said, "larger than max") || strings.Contains(said, "exceeds maximum")
	if code == grpcInvalidArgument || code == grpcResourceExhausted && tooLarge {
		return &Refused{Err: err}
	}
	if after := retryInfo(from.Get("Grpc-Status-Details-Bin")); after > 0 {
		return &RetryAfter{Err: err, After: after}
	}
	return err
}

func grpcHint(code int) string {
	switch code {
	case grpcUnauthenticated, grpcPermissionDenied:
		return "check the credentials"
	case grpcUnimplemented, grpcNotFound:
		return "check the URL, and that the receiver takes logs"
	case grpcResourceExhausted:
		return "where it is about the size, lower max_batch_bytes"
	}
	return ""
}

// partial is an ExportLogsPartialSuccess: how many records were refused for good, and why; or with none of them a warning.
type partial struct {
	rejected int64
	text     string
}

// judgePartial refuses a batch of which some were rejected: which ones is not said, and each alone will tell.
func (o *otlp) judgePartial(c call, p partial, n int) error {
	text := c.clean(p.text)
	switch {
	case p.rejected > 0:
		return &Refused{Err: fmt.Errorf("%s: rejected %d of %d log records: %s", c.shown, p.rejected, n, text)}
	case text != "":
		o.warn(text)
	}
	return nil
}

// parsePartial reads an ExportLogsServiceResponse.
func parsePartial(message []byte) (partial, bool) {
	var p partial
	ok := eachField(message, func(number protowire.Number, _ uint64, nested []byte) bool {
		if number != 1 {
			return true
		}
		return eachField(nested, func(number protowire.Number, value uint64, text []byte) bool {
			switch number {
			case 1:
				p.rejected = int64(value)
			case 2:
				p.text = string(text)
			}
			return true
		})
	})
	return p, ok
}

// parsePartialJSON reads one in the JSON that some receivers answer with in any case.
func parsePartialJSON(body []byte) (partial, bool) {
	var answer struct {
		PartialSuccess struct {
			RejectedLogRecords json.Number `json:"rejectedLogRecords"`
			ErrorMessage       string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return partial{}, false
	}
	p := partial{text: answer.PartialSuccess.ErrorMessage}
	if number := answer.PartialSuccess.RejectedLogRecords; number != "" {
		rejected, err := number.Int64()
		if err != nil {
			return partial{}, false
		}
		p.rejected = rejected
	}
	return p, true
}

// rpcStatus is what is read of a google.rpc.Status.
type rpcStatus struct {
	message string
	after   time.Duration // of a google.rpc.RetryInfo
}

func parseStatus(data []byte) (rpcStatus, bool) {
	var s rpcStatus
	ok := eachField(data, func(number protowire.Number, _ uint64, nested []byte) bool {
		switch number {
		case 2:
			s.message = string(nested)
		case 3:
			return parseDetail(nested, &s)
		}
		return true
	})
	return s, ok
}

// parseDetail reads a google.protobuf.Any, and where it is a RetryInfo, the Duration in it.
func parseDetail(data []byte, s *rpcStatus) bool {
	var kind string
	var value []byte
	ok := eachField(data, func(number protowire.Number, _ uint64, nested []byte) bool {
		switch number {
		case 1:
			kind = string(nested)
		case 2:
			value = nested
		}
		return true
	})
	if !ok || !strings.HasSuffix(kind, "/google.rpc.RetryInfo") {
		return ok
	}
	return eachField(value, func(number protowire.Number, _ uint64, nested []byte) bool {
		if number != 1 {
			return true
		}
		var seconds, nanos int64
		ok := eachField(nested, func(number protowire.Number, value uint64, _ []byte) bool {
			switch number {
			case 1:
				seconds = int64(value)
			case 2:
				nanos = int64(int32(value))
			}
			return true
		})
		seconds = min(max(seconds, 0), int64(retryAfterMax/time.Second))
		s.after = min(max(time.Duration(seconds)*time.Second+time.Duration(nanos), 0), retryAfterMax)
		return ok
	})
}

// retryInfo reads the header grpc-status-details-bin, with or without padding. It is 0 where that asks for no time.
func retryInfo(header string) time.Duration {
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(header, "="))
	if err != nil {
		return 0
	}
	s, ok := parseStatus(data)
	if !ok {
		return 0
	}
	return s.after
}

// eachField calls found with each field of a protobuf message, a number in value and a nested message or text in nested,
// until it says false. It says whether all could be read.
func eachField(message []byte, found func(number protowire.Number, value uint64, nested []byte) bool) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		var value uint64
		var nested []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			nested, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 || !found(number, value, nested) {
			return false
		}
		message = message[n:]
	}
	return true
}

// unframe takes the one message out of a gRPC body.
func unframe(body []byte, encoding string) ([]byte, error) {
	if len(body) < grpcHeader || uint64(len(body)-grpcHeader) != uint64(binary.BigEndian.Uint32(body[1:])) {
		return nil, errors.New("it is not one whole message")
	}
	message := body[grpcHeader:]
	switch {
	case body[0] == 0:
		return message, nil
	case encoding != "gzip":
		return nil, fmt.Errorf("it is compressed with %.20q", encoding)
	}
	z, err := gzip.NewReader(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, responseMaxBody))
}
