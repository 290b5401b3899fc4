package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/eventbaton/baton/agent/record"
)

// kafkaFraming is more than what a record batch of one record has besides key, value and headers (KIP-98: 61 bytes of
// the batch, at most some 40 of the record).
const kafkaFraming = 200

// KafkaOptions are those of the type kafka.
type KafkaOptions struct {
	Brokers     []string `yaml:"brokers" doc:"Brokers to begin with, as host:port; the others are learnt from them."`
	Topic       string   `yaml:"topic" doc:"Topic of the records. It has to exist."`
	Compression string   `yaml:"compression" doc:"Of batches of records: none, gzip, snappy, lz4 or zstd."`

	UseTLS bool       `yaml:"use_tls" doc:"Speak TLS with the brokers."`
	TLS    TLSOptions `yaml:"tls" doc:"TLS, where use_tls is true."`
	SASL   KafkaSASL  `yaml:"sasl" doc:"How to log in."`

	Timeout         Duration `yaml:"timeout" doc:"How long a batch may take until every record in it is acknowledged."`
	MaxMessageBytes int      `yaml:"max_message_bytes" doc:"How large one message may be before compression; not above the topic's max.message.bytes. A record that is larger has its message cut."`
	MaxBatchRecords int      `yaml:"max_batch_records" doc:"How many records at most are sent at once."`
	MaxBatchBytes   int      `yaml:"max_batch_bytes" doc:"How many bytes at most are sent at once, about, before compression. A record that is larger is sent alone."`
}

// KafkaSASL is the key `sasl`.
type KafkaSASL struct {
	Mechanism    string `yaml:"mechanism" doc:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."`
	Username     string `yaml:"username" doc:"The user, of all but OAUTHBEARER."`
	PasswordFile string `yaml:"password_file" doc:"File with the password, of all but OAUTHBEARER."`
	TokenFile    string `yaml:"token_file" doc:"File with the token of OAUTHBEARER."`
}

// newKafkaOptions has messages as large as a broker takes by default (message.max.bytes, 1048588), with room to spare.
func newKafkaOptions() *KafkaOptions {
	return &KafkaOptions{
		Compression: "snappy", Timeout: Duration(10 * time.Second), MaxMessageBytes: 1_000_000,
		MaxBatchRecords: 500, MaxBatchBytes: 1 << 20,
	}
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *KafkaOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	if !o.UseTLS && o.SASL.Mechanism != "" {
		env.Log.Warn("credentials are sent without TLS", "key", "sasl")
	}
	return &kafka{
		tlsFiles: newTLSFiles(o.TLS, env), opts: *o, log: env.Log,
		password: newFile("sasl.password_file", o.SASL.PasswordFile),
		token:    newFile("sasl.token_file", o.SASL.TokenFile),
	}, nil
}

// kafka produces each record as one message, with acks=all by an idempotent producer. The relay owns retry, so franz-go
// tries a record once: what fails makes the batch fail, and its cause known. Whatever of a failed batch a broker has all
// the same, it has once more after the next try, with the same header id; the producer's new epoch keeps a request that
// is still on its way from coming in after that, so that the last message of a key is always the newest.
type kafka struct {
	tlsFiles
	opts            KafkaOptions
	log             *slog.Logger
	password, token *file

	mu     sync.Mutex
	loaded tlsContents // what the client was made of
	client *kafkaClient
}

func (k *kafka) Limits() Limits {
	return Limits{Records: k.opts.MaxBatchRecords, Bytes: k.opts.MaxBatchBytes}
}

func (k *kafka) Close() error {
	k.mu.Lock()
	client := k.client
	k.client = nil
	k.mu.Unlock()
	if client != nil {
		client.Close()
	}
	return nil
}

func (k *kafka) Send(ctx context.Context, batch []*record.Record) error {
	messages, err := k.messages(batch, time.Now())
	if err != nil {
		return err
	}
	client, err := k.acquire()
	if err != nil {
		return err
	}
	defer k.release(client)
	limited, cancel := context.WithTimeout(ctx, time.Duration(k.opts.Timeout))
	defer cancel()           // franz-go drops what is not acknowledged by then
	_ = client.heard.first() // of a batch before
	results := make(chan error, len(messages))
	for _, m := range messages {
		client.Produce(limited, m, func(_ *kgo.Record, err error) { results <- err })
	}
	var failed error
	for range messages {
		select {
		case err := <-results:
			failed = worse(failed, err)
		case <-limited.Done():
			client.ForceMetadataRefresh()
			return k.failed(ctx, client, limited.Err())
		}
	}
	if failed == nil {
		return nil
	}
	client.ForceMetadataRefresh() // the next try goes to who leads the partition by then
	return k.failed(ctx, client, failed)
}

// messages translates the batch.
func (k *kafka) messages(batch []*record.Record, now time.Time) ([]*kgo.Record, error) {
	messages := make([]*kgo.Record, len(batch))
	for i, r := range batch {
		m := k.message(r, now)
		if kafkaSize(m) > k.opts.MaxMessageBytes {
			fits, ok := fitMessage(r, k.opts.MaxMessageBytes, func(r *record.Record) int { return kafkaSize(k.message(r, now)) })
			if !ok {
				return nil, tooLarge("max_message_bytes", k.opts.MaxMessageBytes)
			}
			m = k.message(fits, now)
		}
		messages[i] = m
	}
	return messages, nil
}

func kafkaSize(m *kgo.Record) int {
	n := kafkaFraming + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// message has the involved object as its key, so that a topic's partitions keep the order of each object's events.
func (k *kafka) message(r *record.Record, now time.Time) *kgo.Record {
	return &kgo.Record{
		Topic: k.opts.Topic,
		Key:   []byte(strings.Join([]string{r.Cluster, r.Object.Kind, r.Object.Namespace, r.Object.Name}, "/")),
		Value: r.AppendJSON(make([]byte, 0, r.Size())),
		Headers: []kgo.RecordHeader{
			{Key: "id", Value: []byte(r.ID)},
			{Key: "content-type", Value: []byte("application/json")},
		},
		Timestamp: kafkaTime(r.Time, now),
	}
}

// kafkaTime keeps within what brokers accept: by default not an hour ahead (message.timestamp.after.max.ms), and never
// before 1970. A reporter's clock may say anything; the record's JSON keeps it.
func kafkaTime(t, now time.Time) time.Time {
	if t.After(now) || t.Year() < 1970 {
		return now
	}
	return t
}

// kafkaClient is a client for certain TLS files. It is closed when they have changed and the last Send with it is over.
type kafkaClient struct {
	*kgo.Client
	heard *kafkaHeard
	users int
	stale bool
}

// acquire gives the client for the TLS files as they are now.
func (k *kafka) acquire() (*kafkaClient, error) {
	files, err := k.contents()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client == nil || !files.equal(k.loaded) {
		client, err := k.newClient(files)
		if err != nil {
			return nil, err
		}
		if old := k.client; old != nil {
			old.stale = true
			old.closeUnused()
		}
		k.client, k.loaded = client, files
	}
	k.client.users++
	return k.client, nil
}

func (k *kafka) release(c *kafkaClient) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.users--
	c.closeUnused()
}

func (c *kafkaClient) closeUnused() {
	if c.stale && c.users == 0 {
		c.Close()
	}
}

// newClient makes one. It connects when something is to be sent.
func (k *kafka) newClient(files tlsContents) (*kafkaClient, error) {
	c := &kafkaClient{heard: &kafkaHeard{}}
	timeout := time.Duration(k.opts.Timeout)
	options := []kgo.Opt{
		kgo.ClientID("baton"),
		kgo.SeedBrokers(k.opts.Brokers...),
		kgo.WithLogger(c.heard),
		kgo.DisableClientMetrics(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kafkaCodecs[k.opts.Compression]),
		kgo.ProducerBatchMaxBytes(int32(k.opts.MaxMessageBytes)),
		kgo.ProducerLinger(0), // the relay has gathered the batch
		kgo.ProduceRequestTimeout(timeout),
		kgo.RecordRetries(0),
		kgo.UnknownTopicRetries(0),
		kgo.AllowIdempotentProduceCancellation(), // else nothing ends a try that is without an answer
		kgo.RequestRetries(len(k.opts.Brokers)),  // of what goes before records: to pass over a broker that is down
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}
	dial := (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	if k.opts.UseTLS {
		config, err := k.tlsConfig(files)
		if err != nil {
			return nil, err
		}
		dial = (&tlsDialer{dial: dial, config: config}).dialContext
	}
	options = append(options, kgo.Dialer(dial))
	if m := k.mechanism(); m != nil {
		options = append(options, kgo.SASL(m))
	}
	var err error
	c.Client, err = kgo.NewClient(options...)
	return c, err
}

var kafkaCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// tlsDialer bounds the handshake, as a dialer does the rest.
type tlsDialer struct {
	dial   func(ctx context.Context, network, host string) (net.Conn, error)
	config *tls.Config
}

func (d *tlsDialer) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.config.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// mechanism is how to log in. The files are read for each connection, and when a token's time has passed.
func (k *kafka) mechanism() sasl.Mechanism {
	user := k.opts.SASL.Username
	scramAuth := func(context.Context) (scram.Auth, error) {
		password, err := k.password.secret()
		return scram.Auth{User: user, Pass: string(password)}, err
	}
	switch k.opts.SASL.Mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := k.password.secret()
			return plain.Auth{User: user, Pass: string(password)}, err
		})
	case "SCRAM-SHA-256":
		return scram.Sha256(scramAuth)
	case "SCRAM-SHA-512":
		return scram.Sha512(scramAuth)
	case "OAUTHBEARER":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := k.token.secret()
			return oauth.Auth{Token: string(token)}, err
		})
	}
	return nil
}
