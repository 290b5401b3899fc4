package sink

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// kafkaTopic is a legal name of a topic (Kafka: org.apache.kafka.common.internals.Topic).
var kafkaTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

var saslMechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}

// Check returns all that is wrong with the values.
func (o *KafkaOptions) Check() []Problem {
	return slices.Concat(o.checkBrokers(), o.checkTopic(), o.TLS.check(), o.checkTLSUse(), o.SASL.check(), o.checkNumbers())
}

func (o *KafkaOptions) checkBrokers() []Problem {
	if len(o.Brokers) == 0 {
		return []Problem{{"brokers", "is missing: write at least one as host:port"}}
	}
	var p []Problem
	for i, broker := range o.Brokers {
		host, port, err := net.SplitHostPort(broker)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || host == "" || portErr != nil || n == 0 {
			p = append(p, Problem{"brokers[" + strconv.Itoa(i) + "]", "is not a broker: write it as host:port"})
		}
	}
	return p
}

func (o *KafkaOptions) checkTopic() []Problem {
	var p []Problem
	switch {
	case o.Topic == "":
		p = append(p, Problem{"topic", "is missing"})
	case !kafkaTopic.MatchString(o.Topic) || o.Topic == "." || o.Topic == "..":
		p = append(p, Problem{"topic", "is no name of a topic: at most 249 letters, digits, dots, underscores and hyphens"})
	}
	if _, ok := kafkaCodecs[o.Compression]; !ok {
		p = append(p, Problem{"compression", "is none of none, gzip, snappy, lz4 and zstd"})
	}
	return p
}

func (o *KafkaOptions) checkTLSUse() []Problem {
	if !o.UseTLS && o.TLS != (TLSOptions{}) {
		return []Problem{{"tls", "has no effect without use_tls: set that to true, or remove it"}}
	}
	return nil
}

func (s KafkaSASL) check() []Problem {
	if s == (KafkaSASL{}) {
		return nil
	}
	if !slices.Contains(saslMechanisms, s.Mechanism) {
		return []Problem{{"sasl.mechanism", "is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER"}}
	}
	var p []Problem
	need := func(key, value string, needed bool) {
		switch {
		case needed && value == "":
			p = append(p, Problem{key, "is missing: " + s.Mechanism + " needs it"})
		case !needed && value != "":
			p = append(p, Problem{key, "has no effect with " + s.Mechanism + ": remove it"})
		}
	}
	token := s.Mechanism == "OAUTHBEARER"
	need("sasl.username", s.Username, !token)
	need("sasl.password_file", s.PasswordFile, !token)
	need("sasl.token_file", s.TokenFile, token)
	return p
}

func (o *KafkaOptions) checkNumbers() []Problem {
	var p []Problem
	if o.Timeout < Duration(100*time.Millisecond) || time.Duration(o.Timeout) > webhookMaxTimeout {
		p = append(p, Problem{"timeout", "must be from 100ms to 5m"})
	}
	if o.MaxMessageBytes < 2000 || o.MaxMessageBytes > webhookMaxBatchBytes {
		p = append(p, Problem{"max_message_bytes", "must be from 2000 to 16777216"})
	}
	if o.MaxBatchRecords < 1 || o.MaxBatchRecords > 10000 {
		p = append(p, Problem{"max_batch_records", "must be from 1 to 10000"})
	}
	if o.MaxBatchBytes < 1 || o.MaxBatchBytes > webhookMaxBatchBytes {
		p = append(p, Problem{"max_batch_bytes", "must be from 1 to 16777216"})
	}
	return p
}
