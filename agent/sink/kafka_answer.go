package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaRefused are what a broker answers about a record, not about the state that it is in (Kafka's protocol, Error codes,
// those that can't be retried).
var kafkaRefused = []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp}

// kafkaHints say what to look at where the answer can't be about the records.
var kafkaHints = []struct {
	err  error
	hint string
}{
	{kerr.MessageTooLarge, "lower max_message_bytes to the topic's max.message.bytes, and longer messages are cut"},
	{kerr.UnknownTopicOrPartition, "create the topic, or check its name and the right to describe it"},
	{kerr.UnknownTopicID, "the topic was made anew"},
	{kerr.InvalidTopicException, "check the topic's name"},
	{kerr.TopicAuthorizationFailed, "the user needs the right to write to the topic"},
	{kerr.ClusterAuthorizationFailed, "the user needs the right of idempotent writes, or to write to the topic"},
	{kerr.SaslAuthenticationFailed, "check the user and the credentials"},
	{kerr.UnsupportedSaslMechanism, "check sasl.mechanism"},
	{kerr.UnsupportedCompressionType, "check compression"},
	{kerr.PolicyViolation, "the topic's policy does not allow it"},
	{io.EOF, "the broker hangs up: check use_tls, sasl.mechanism and the credentials"},
	{kerr.NotEnoughReplicas, "fewer replicas are in sync than the topic's min.insync.replicas"},
	{kerr.NotEnoughReplicasAfterAppend, "fewer replicas are in sync than the topic's min.insync.replicas"},
}

func isKafkaRefused(err error) bool {
	for _, r := range kafkaRefused {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// worse gives the error that says most of a batch. What is refused comes first, so that the relay finds the record: it
// can be why its neighbours in the partition fail, and with them it would be tried for ever.
func worse(a, b error) error {
	if a == nil || b != nil && isKafkaRefused(b) {
		return b
	}
	return a
}

// failed is the error of a batch of which not every record was acknowledged.
func (k *kafka) failed(ctx context.Context, c *kafkaClient, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("topic %s: %w", k.opts.Topic, context.Cause(ctx))
	}
	text, cause := "", err
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("not acknowledged within %s: ", k.opts.Timeout)
		cause = c.heard.first()
	case errors.Is(err, kgo.ErrRecordRetries):
		text = "not acknowledged: "
		cause = c.heard.first()
	}
	failed := &cleanError{text: fmt.Sprintf("topic %s: %s%s", k.opts.Topic, text, kafkaText(cause)), err: err}
	if isKafkaRefused(err) {
		return &Refused{Err: failed}
	}
	return failed
}

// kafkaText is the error's text with what to look at.
func kafkaText(err error) string {
	text := printable(err.Error(), shownBody)
	for _, h := range kafkaHints {
		if errors.Is(err, h.err) {
			return text + " (" + h.hint + ")"
		}
	}
	return text
}

// kafkaHeard is the logger of a client. franz-go tells in its log alone why it could not reach a broker; it is kept for
// the error of a batch that was given up, and nothing is logged twice.
type kafkaHeard struct {
	mu  sync.Mutex
	err error
}

func (*kafkaHeard) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log keeps the first error that is told: what follows from it says less.
func (h *kafkaHeard) Log(_ kgo.LogLevel, _ string, pairs ...any) {
	for i := 1; i < len(pairs); i += 2 {
		err, ok := pairs[i].(error)
		if !ok || isKafkaAftermath(err) {
			continue
		}
		h.mu.Lock()
		h.err = cmp.Or(h.err, err)
		h.mu.Unlock()
	}
}

// isKafkaAftermath tells what franz-go says of its own doing: that it gave up, and began with a new producer's epoch.
func isKafkaAftermath(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrRecordRetries) ||
		strings.HasPrefix(err.Error(), "producer id needs reload")
}

var errKafkaSilent = errors.New("the connection ended, or no broker answered")

// first gives the error, and forgets it.
func (h *kafkaHeard) first() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := cmp.Or(h.err, errKafkaSilent)
	h.err = nil
	return err
}
