package sink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/eventbaton/baton/agent/record"
)

// newKafka starts a cluster of three brokers with the topic events of four partitions.
func newKafka(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, "events")}, options...)...)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func openKafka(t testing.TB, c *kfake.Cluster, configure func(*KafkaOptions)) *kafka {
	t.Helper()
	o := newKafkaOptions()
	o.Brokers, o.Topic = c.ListenAddrs(), "events"
	if configure != nil {
		configure(o)
	}
	if problems := o.Check(); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	s, err := o.Open(Environment{})
	must(t, err)
	t.Cleanup(func() { closed(t, s) })
	return s.(*kafka)
}

// consume reads all that is in the topic, partition by partition.
func consume(t *testing.T, c *kfake.Cluster, options ...kgo.Opt) []*kgo.Record {
	t.Helper()
	want := int64(0)
	for _, p := range c.PartitionInfos("events") {
		want += p.HighWatermark
	}
	client, err := kgo.NewClient(append(options,
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("events"), kgo.FetchMaxWait(50*time.Millisecond))...)
	must(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*kgo.Record
	for int64(len(all)) < want {
		fetched := client.PollFetches(ctx)
		must(t, errors.Join(ctx.Err(), fetched.Err()))
		all = append(all, fetched.Records()...)
	}
	return all
}

func kafkaIDs(messages []*kgo.Record) []string {
	var ids []string
	for _, m := range messages {
		for _, h := range m.Headers {
			if h.Key == "id" {
				ids = append(ids, string(h.Value))
			}
		}
	}
	return ids
}

func TestKafkaProduces(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			c := newKafka(t)
			var acks atomic.Int32
			c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				acks.Store(int32(r.(*kmsg.ProduceRequest).Acks))
				return nil, nil, false
			})
			k := openKafka(t, c, func(o *KafkaOptions) { o.Compression = compression })
			batch := records(500)
			must(t, k.Send(t.Context(), batch))
			messages := consume(t, c)
			sameIDs(t, kafkaIDs(messages), ids(batch))
			if len(messages) != 500 || acks.Load() != -1 {
				t.Errorf("%d messages, acks %d", len(messages), acks.Load())
			}
			partitions := map[int32]bool{}
			for _, m := range messages {
				partitions[m.Partition] = true
				var r record.Record
				must(t, json.Unmarshal(m.Value, &r))
				if string(m.Key) != r.Cluster+"/Pod/shop/"+r.Object.Name || !m.Timestamp.Equal(r.Time) || m.ProducerID < 0 {
					t.Errorf("key %s, time %v, producer %d", m.Key, m.Timestamp, m.ProducerID)
				}
			}
			if len(partitions) != 4 {
				t.Errorf("%d partitions are used", len(partitions))
			}
		})
	}
}

func TestKafkaLimits(t *testing.T) {
	k := openKafka(t, newKafka(t), func(o *KafkaOptions) { o.MaxBatchRecords, o.MaxBatchBytes = 7, 1000 })
	if got := k.Limits(); got != (Limits{Records: 7, Bytes: 1000}) {
		t.Errorf("limits %+v", got)
	}
}

func TestKafkaTime(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]time.Time{
		now: now, now.Add(-time.Hour): now.Add(-time.Hour), now.Add(time.Minute): now, {}: now, now.AddDate(-100, 0, 0): now,
	} {
		if got := kafkaTime(at, now); !got.Equal(want) {
			t.Errorf("%v: %v", at, got)
		}
	}
}

// What fails once is an error, not something that the client tries by itself, and says what it was.
func TestKafkaErrors(t *testing.T) {
	for _, c := range []struct {
		err     *kerr.Error
		refused bool
		says    string
	}{
		{kerr.NotLeaderForPartition, false, "NOT_LEADER_FOR_PARTITION"},
		{kerr.NotEnoughReplicas, false, "min.insync.replicas"},
		{kerr.NotEnoughReplicasAfterAppend, false, "topic events: not acknowledged"},
		{kerr.RequestTimedOut, false, "topic events: not acknowledged"},
		{kerr.UnknownTopicOrPartition, false, "create the topic"},
		{kerr.TopicAuthorizationFailed, false, "the user needs the right to write to the topic"},
		{kerr.ClusterAuthorizationFailed, false, "idempotent"},
		{kerr.KafkaStorageError, false, "KAFKA_STORAGE_ERROR"},
		{kerr.UnknownServerError, false, "UNKNOWN_SERVER_ERROR"},
		{kerr.CorruptMessage, false, "CORRUPT_MESSAGE"},
		{kerr.UnsupportedCompressionType, false, "check compression"},
		{kerr.OutOfOrderSequenceNumber, false, "not acknowledged"},
		{kerr.InvalidProducerEpoch, false, "not acknowledged"},
		{kerr.PolicyViolation, false, "policy"},
		{kerr.MessageTooLarge, true, "lower max_message_bytes"},
		{kerr.RecordListTooLarge, true, "RECORD_LIST_TOO_LARGE"},
		{kerr.InvalidRecord, true, "INVALID_RECORD"},
		{kerr.InvalidTimestamp, true, "INVALID_TIMESTAMP"},
	} {
		t.Run(c.err.Message, func(t *testing.T) {
			cluster := newKafka(t)
			k := openKafka(t, cluster, func(o *KafkaOptions) { o.Timeout = Duration(5 * time.Second) })
			must(t, k.Send(t.Context(), records(1)))
			fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: c.err, Count: -1})
			started := time.Now()
			err := k.Send(t.Context(), records(1))
			wantAnswer(t, err, c.refused, 0, c.says)
			if took := time.Since(started); took > 3*time.Second || fault.Hits() > 2 {
				t.Errorf("took %v, %d tries", took, fault.Hits())
			}
			fault.Remove()
			if !c.refused {
				deliver(t, k, records(3), nil)
				sameIDs(t, kafkaIDs(consume(t, cluster)), ids(records(3)))
			}
		})
	}
}

func TestKafkaUnknownTopic(t *testing.T) {
	c := newKafka(t)
	k := openKafka(t, c, func(o *KafkaOptions) { o.Topic = "later" })
	wantAnswer(t, k.Send(t.Context(), records(3)), false, 0, "topic later: UNKNOWN_TOPIC_OR_PARTITION")
	must(t, c.CreateTopic("later", 2, nil))
	if refused := deliver(t, k, records(3), pause); len(refused) > 0 {
		t.Error("refused")
	}
}

// pause gives the other side a moment, as the relay does.
func pause(error) {
	<-time.After(20 * time.Millisecond)
}

func TestKafkaNobodyThere(t *testing.T) {
	k := openKafka(t, newKafka(t), func(o *KafkaOptions) { o.Brokers = []string{freeAddress(t)} })
	wantAnswer(t, k.Send(t.Context(), records(3)), false, 0, "connection refused")
}

func TestKafkaTimeout(t *testing.T) {
	c := newKafka(t)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, nil, true // and no answer
	})
	k := openKafka(t, c, func(o *KafkaOptions) { o.Timeout = Duration(200 * time.Millisecond) })
	for range 3 {
		wantAnswer(t, k.Send(t.Context(), records(100)), false, 0, "not acknowledged within 200ms")
	}
	holdsNothing(t, k)
}

// Brokers that go while records are sent leave none of them in the client, however often they are tried.
func TestKafkaOutage(t *testing.T) {
	c := newKafka(t)
	k := openKafka(t, c, func(o *KafkaOptions) { o.Timeout = Duration(200 * time.Millisecond) })
	must(t, k.Send(t.Context(), records(100)))
	c.Close()
	for range 5 {
		wantAnswer(t, k.Send(t.Context(), records(100)), false, 0, "topic events: not acknowledged")
	}
	holdsNothing(t, k)
}

// holdsNothing waits for the client to have dropped what was given up.
func holdsNothing(t *testing.T, k *kafka) {
	t.Helper()
	for range 100 {
		if k.client.BufferedProduceRecords() == 0 {
			return
		}
		pause(nil)
	}
	t.Errorf("%d records are still in the client", k.client.BufferedProduceRecords())
}

func TestKafkaCalledOff(t *testing.T) {
	c := newKafka(t)
	deposed := errors.New("deposed")
	ctx, cancel := context.WithCancelCause(t.Context())
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel(deposed)
		return nil, nil, true
	})
	k := openKafka(t, c, nil)
	started := time.Now()
	if err := k.Send(ctx, records(3)); !errors.Is(err, deposed) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// A message that is too large is cut, one that can't be is refused; the rest of its batch arrives.
func TestKafkaTooLarge(t *testing.T) {
	c := newKafka(t)
	k := openKafka(t, c, func(o *KafkaOptions) { o.MaxMessageBytes, o.MaxBatchRecords = 5000, 10 })
	all := records(20)
	all[3].Message = strings.Repeat("m", 9000)
	all[7].Reason = strings.Repeat("r", 9000)
	refused := deliver(t, k, all, nil)
	sameIDs(t, refused, []string{all[7].ID})
	messages := consume(t, c)
	sameIDs(t, kafkaIDs(messages), slices.DeleteFunc(ids(all), func(id string) bool { return id == all[7].ID }))
	for _, m := range messages {
		if len(m.Value) > 5000 || slices.Contains(kafkaIDs([]*kgo.Record{m}), all[3].ID) && !strings.Contains(string(m.Value), "[truncated from 9000 bytes]") {
			t.Errorf("%d bytes", len(m.Value))
		}
	}
}

// A topic that takes less than the sink was told refuses the one message.
func TestKafkaTopicFindsTooLarge(t *testing.T) {
	c := newKafka(t)
	size := "3000"
	must(t, c.CreateTopic("small", 1, map[string]string{"max.message.bytes": size}))
	k := openKafka(t, c, func(o *KafkaOptions) { o.Topic, o.Compression = "small", "none" })
	all := records(30)
	all[11].Message = strings.Repeat("m", 9000)
	sameIDs(t, deliver(t, k, all, nil), []string{all[11].ID})
}

func TestKafkaTLS(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	certPEM, keyPEM := own.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	must(t, err)
	var connections atomic.Int32
	c := newKafka(t, kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: own.pool(),
		VerifyConnection: func(tls.ConnectionState) error { connections.Add(1); return nil },
	}))
	dir, publish := mount(t)
	cert1, key1 := own.issue(t, "client", 101)
	cert2, key2 := own.issue(t, "client", 102)
	publish(map[string]string{"ca": other.pem, "crt": cert1, "key": key1})
	k := openKafka(t, c, func(o *KafkaOptions) {
		o.UseTLS, o.TLS = true, TLSOptions{
			CAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "key"),
		}
	})
	wantAnswer(t, k.Send(t.Context(), records(1)), false, 0, "x509")
	publish(map[string]string{"ca": own.pem, "crt": cert1, "key": key1})
	k.expire()
	must(t, k.Send(t.Context(), records(1)))
	before := connections.Load()
	must(t, k.Send(t.Context(), records(1)))
	if connections.Load() != before {
		t.Error("another connection, and the files are the same")
	}
	publish(map[string]string{"ca": own.pem, "crt": cert2, "key": key1})
	k.expire()
	wantAnswer(t, k.Send(t.Context(), records(1)), false, 0, "private key does not match")
	publish(map[string]string{"ca": own.pem, "crt": cert2, "key": key2})
	k.expire()
	must(t, k.Send(t.Context(), records(1)))
	if connections.Load() == before {
		t.Error("a connection outlived its certificate")
	}
}

// expire makes the sink look at its files again, as it does when a second has passed.
func (k *kafka) expire() { forget(k.ca, k.cert, k.key, k.password, k.token) }

func TestKafkaSASL(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c := newKafka(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "baton", "new"))
			dir, publish := mount(t)
			publish(map[string]string{"password": "old\n"})
			k := openKafka(t, c, func(o *KafkaOptions) {
				o.SASL = KafkaSASL{Mechanism: mechanism, Username: "baton", PasswordFile: filepath.Join(dir, "password")}
			})
			wantAnswer(t, k.Send(t.Context(), records(1)), false, 0, "check use_tls, sasl.mechanism and the credentials")
			publish(map[string]string{"password": "new\n"})
			k.expire()
			must(t, k.Send(t.Context(), records(1)))
		})
	}
	t.Run("no file", func(t *testing.T) {
		k := openKafka(t, newKafka(t, kfake.EnableSASL()), func(o *KafkaOptions) {
			o.SASL = KafkaSASL{Mechanism: "PLAIN", Username: "baton", PasswordFile: "/nowhere"}
		})
		wantAnswer(t, k.Send(t.Context(), records(1)), false, 0, "sasl.password_file: stat /nowhere")
	})
}

// A token that has expired is renewed on disk.
func TestKafkaOAuth(t *testing.T) {
	c := newKafka(t)
	c.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		answer.SupportedMechanisms = []string{"OAUTHBEARER"}
		return answer, nil, true
	})
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if !strings.Contains(string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes), "auth=Bearer fresh\x01") {
			answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
		}
		return answer, nil, true
	})
	token := tempFile(t, "stale")
	k := openKafka(t, c, func(o *KafkaOptions) { o.SASL = KafkaSASL{Mechanism: "OAUTHBEARER", TokenFile: token} })
	err := k.Send(t.Context(), records(1))
	wantAnswer(t, err, false, 0, "check the user and the credentials")
	if strings.Contains(err.Error(), "stale") {
		t.Errorf("the error tells the token: %v", err)
	}
	write(t, token, "fresh")
	k.expire()
	must(t, k.Send(t.Context(), records(1)))
}

func TestKafkaWarnsOfPlainCredentials(t *testing.T) {
	var log strings.Builder
	o := newKafkaOptions()
	o.SASL.Mechanism = "PLAIN"
	s, err := o.Open(Environment{Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	closed(t, s)
	if !strings.Contains(log.String(), "without TLS") {
		t.Errorf("log %q", log.String())
	}
}

// tearing makes connections that end in the midst of an answer, each after some of them.
type tearing struct {
	net.Listener
	accepted atomic.Int32
	ended    *atomic.Bool // then they stay whole
}

func (l *tearing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.ended.Load() {
		return conn, nil
	}
	return &tornConn{Conn: conn, left: 8 + l.accepted.Add(1)%23}, nil
}

type tornConn struct {
	net.Conn
	left int32
}

func (c *tornConn) Write(p []byte) (int, error) {
	c.left--
	if c.left > 0 {
		return c.Conn.Write(p)
	}
	c.Conn.Write(p[:len(p)/2])
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Conn.Close()
	return 0, io.ErrClosedPipe
}

// Ten thousand records through every fault that brokers can have: none is lost, none refused, and of no object an old
// record is the last.
func TestKafkaFaults(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	certPEM, keyPEM := own.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	must(t, err)
	var ended atomic.Bool
	c := newKafka(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "baton", "right"),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return tls.NewListener(&tearing{Listener: l, ended: &ended}, &tls.Config{Certificates: []tls.Certificate{pair}}), err
		}))
	dir, publish := mount(t)
	publish(map[string]string{"ca": own.pem, "password": "right"})
	faults := []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
		kerr.KafkaStorageError, kerr.UnknownTopicOrPartition, kerr.OutOfOrderSequenceNumber, kerr.TopicAuthorizationFailed,
	}
	calls, seen := 0, 0
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		calls++
		switch {
		case calls%101 == 50: // slow
			c.KeepControl()
			return nil, nil, true
		case calls%23 == 5: // gone before it was read
			c.KeepControl()
			return nil, errors.New("reset"), true
		case calls%5 == 3:
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: faults[seen%len(faults)]})
			seen++
		}
		return nil, nil, false
	})
	k := openKafka(t, c, func(o *KafkaOptions) {
		o.MaxBatchRecords, o.Timeout = 250, Duration(600*time.Millisecond)
		o.UseTLS, o.TLS.CAFile = true, filepath.Join(dir, "ca")
		o.SASL = KafkaSASL{Mechanism: "PLAIN", Username: "baton", PasswordFile: filepath.Join(dir, "password")}
	})
	all := records(10_000)
	for i, r := range all {
		r.Object = all[i%300].Object // some 33 records an object
		r.Count = int64(i)
	}
	failed, distrusted, denied := 0, 0, 0
	refused := deliver(t, k, all, func(err error) {
		if failed++; failed%5 == 0 {
			c.ShufflePartitionLeaders()
		}
		ca, password := own.pem, "right"
		switch {
		case strings.Contains(err.Error(), "x509"):
			distrusted++
		case strings.Contains(err.Error(), "credentials"):
			denied++
		case failed%12 == 4: // of a new authority the client is another one, which has to log in
			ca = other.pem
		case failed%12 == 8:
			ca, password = own.pem+other.pem, "expired"
		}
		publish(map[string]string{"ca": ca, "password": password})
		k.expire()
		pause(err)
	})
	if len(refused) > 0 || failed < 30 || seen < len(faults) || distrusted == 0 || denied == 0 {
		t.Errorf("%d refused, %d failed, %d faults, %d x509, %d denied", len(refused), failed, seen, distrusted, denied)
	}
	ended.Store(true)
	messages := consume(t, c, kgo.DialTLSConfig(&tls.Config{RootCAs: own.pool()}),
		kgo.SASL(plain.Auth{User: "baton", Pass: "right"}.AsMechanism()))
	sameIDs(t, kafkaIDs(messages), ids(all))
	inOrder(t, messages)
}

// inOrder looks at the records of each key: one that is new is newer than all before it, and the last is the newest.
func inOrder(t *testing.T, messages []*kgo.Record) {
	t.Helper()
	newest, last := map[string]int64{}, map[string]int64{}
	seen := map[string]bool{}
	for _, m := range messages {
		var r record.Record
		must(t, json.Unmarshal(m.Value, &r))
		key := string(m.Key)
		if !seen[r.ID] && newest[key] > r.Count {
			t.Fatalf("%s: %d comes after %d", key, r.Count, newest[key])
		}
		seen[r.ID] = true
		newest[key], last[key] = max(newest[key], r.Count), r.Count
	}
	for key := range newest {
		if last[key] != newest[key] {
			t.Errorf("%s: the last is %d, the newest %d", key, last[key], newest[key])
		}
	}
}

func TestKafkaCheck(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(o *KafkaOptions)
		keys string
	}{
		"defaults": {func(o *KafkaOptions) {}, ""},
		"TLS and SASL": {func(o *KafkaOptions) {
			o.UseTLS, o.TLS.CAFile, o.SASL = true, "/ca", KafkaSASL{Mechanism: "SCRAM-SHA-512", Username: "u", PasswordFile: "/p"}
		}, ""},
		"OAuth":       {func(o *KafkaOptions) { o.SASL = KafkaSASL{Mechanism: "OAUTHBEARER", TokenFile: "/t"} }, ""},
		"nothing":     {func(o *KafkaOptions) { *o = KafkaOptions{} }, "brokers topic compression timeout max_message_bytes max_batch_records max_batch_bytes"},
		"brokers":     {func(o *KafkaOptions) { o.Brokers = []string{"a", "a:b", ":1", "a:0", "a:1", "[::1]:9092"} }, "brokers[0] brokers[1] brokers[2] brokers[3]"},
		"topic":       {func(o *KafkaOptions) { o.Topic = "a b" }, "topic"},
		"dots":        {func(o *KafkaOptions) { o.Topic = ".." }, "topic"},
		"compression": {func(o *KafkaOptions) { o.Compression = "brotli" }, "compression"},
		"TLS unused":  {func(o *KafkaOptions) { o.TLS.CAFile = "/ca" }, "tls"},
		"key alone":   {func(o *KafkaOptions) { o.UseTLS, o.TLS.KeyFile = true, "/k" }, "tls.cert_file"},
		"mechanism":   {func(o *KafkaOptions) { o.SASL.Username = "u" }, "sasl.mechanism"},
		"no password": {func(o *KafkaOptions) { o.SASL.Mechanism = "PLAIN" }, "sasl.username sasl.password_file"},
		"two ways": {func(o *KafkaOptions) {
			o.SASL = KafkaSASL{Mechanism: "OAUTHBEARER", Username: "u", PasswordFile: "/p"}
		}, "sasl.username sasl.password_file sasl.token_file"},
		"large numbers": {func(o *KafkaOptions) {
			o.Timeout, o.MaxMessageBytes, o.MaxBatchRecords, o.MaxBatchBytes = 1<<62, 1<<30, 1<<30, 1<<30
		}, "timeout max_message_bytes max_batch_records max_batch_bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newKafkaOptions()
			o.Brokers, o.Topic = []string{"kafka.example.test:9092"}, "events"
			c.set(o)
			if got := problemKeys(o); got != c.keys {
				t.Errorf("problems with %q, want %q", got, c.keys)
			}
		})
	}
}

// Whatever is in a record, its message is no larger than it may be, has its id, and is the record.
func FuzzKafka(f *testing.F) {
	f.Add("c/u/7", "BackOff", "message", "Pod", "web", int64(1782907200), 2000)
	f.Add("", "", strings.Repeat("\x00ü\"", 900), "", "", int64(-1<<60), 1)
	f.Fuzz(func(t *testing.T, id, reason, message, kind, name string, seconds int64, limit int) {
		for _, s := range []*string{&id, &reason, &message, &kind, &name} {
			*s = strings.ToValidUTF8(*s, "\uFFFD") // as record.From makes it
		}
		at := time.Unix(seconds, 0).UTC()
		if at.Year() < 1 || at.Year() > 9999 {
			at = time.Time{}
		}
		r := &record.Record{
			ID: id, Reason: reason, Message: message, Object: record.Object{Kind: kind, Name: name}, Time: at, First: at, Last: at,
		}
		k := &kafka{opts: KafkaOptions{Topic: "events", MaxMessageBytes: limit}}
		messages, err := k.messages([]*record.Record{r}, time.Now())
		if _, refused := errors.AsType[*Refused](err); refused {
			return
		}
		must(t, err)
		m := messages[0]
		var got record.Record
		must(t, json.Unmarshal(m.Value, &got))
		if kafkaSize(m) > limit || string(m.Headers[0].Value) != id || got.ID != id || got.Reason != reason || m.Timestamp.Year() < 1970 {
			t.Errorf("%d bytes of %d, id %q, %v", kafkaSize(m), limit, m.Headers[0].Value, m.Timestamp)
		}
		if got.Message != message && !strings.HasSuffix(got.Message, fmt.Sprintf(" ... [truncated from %d bytes]", len(message))) {
			t.Errorf("message %q", got.Message)
		}
	})
}
