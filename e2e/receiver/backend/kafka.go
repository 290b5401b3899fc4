package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	kafkaTopic      = "events"
	kafkaBrokers    = 3
	kafkaPartitions = 4
)

// kafka is a cluster, with a consumer that notes what is in its topic. While the cluster is down to all others, it keeps
// what it has, and the consumer has a way in of its own.
type kafka struct {
	notes   *receiver.Receiver
	cluster *kfake.Cluster
	gates   []*gate
	client  *kgo.Client
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu    sync.Mutex
	fault *kfake.FaultHandle // nil where it is well
}

func openKafka(o *opening) error {
	k := &kafka{notes: receiver.New()}
	var err error
	k.cluster, err = kfake.NewCluster(kfake.NumBrokers(kafkaBrokers), kfake.SeedTopics(kafkaPartitions, kafkaTopic),
		kfake.ListenFn(k.listen))
	if err != nil {
		return err
	}
	k.client, err = kgo.NewClient(kgo.SeedBrokers(k.cluster.ListenAddrs()...), kgo.ConsumeTopics(kafkaTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond), kgo.Dialer(k.dial))
	if err != nil {
		k.cluster.Close()
		return err
	}
	var ctx context.Context
	ctx, k.stop = context.WithCancel(context.Background())
	k.wg.Go(func() { k.consume(ctx) })
	o.Receiver, o.service = k.notes, k
	o.Options = with(map[string]string{
		"brokers": "[" + strings.Join(k.cluster.ListenAddrs(), ", ") + "]", "topic": strconv.Quote(kafkaTopic),
	})
	return nil
}

func (k *kafka) listen(string, string) (net.Listener, error) {
	g, err := newGate()
	if err != nil {
		return nil, err
	}
	k.gates = append(k.gates, g)
	return g, nil
}

func (k *kafka) dial(ctx context.Context, _, address string) (net.Conn, error) {
	for _, g := range k.gates {
		if g.Addr().String() == address {
			return g.dial(ctx)
		}
	}
	return nil, fmt.Errorf("%s is no broker's", address)
}

// Fail has too few replicas in sync.
func (k *kafka) Fail() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault == nil {
		k.fault = k.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	}
}

func (k *kafka) Up() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault != nil {
		k.fault.Remove()
		k.fault = nil
	}
	var errs []error
	for _, g := range k.gates {
		errs = append(errs, g.up())
	}
	return errors.Join(errs...)
}

func (k *kafka) Down() {
	for _, g := range k.gates {
		g.down()
	}
}

func (k *kafka) Close() {
	k.stop()
	k.wg.Wait()
	k.client.Close()
	k.cluster.Close()
}

func (k *kafka) consume(ctx context.Context) {
	for {
		fetches := k.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, partition int32, err error) {
			k.notes.Complain(fmt.Sprintf("partition %d: %v", partition, err))
		})
		now := time.Now()
		var records []receiver.Record
		fetches.EachRecord(func(m *kgo.Record) {
			r, err := readMessage(m)
			if err != nil {
				k.notes.Complain(fmt.Sprintf("message %d of partition %d: %v", m.Offset, m.Partition, err))
				return
			}
			records = append(records, r)
		})
		if len(records) > 0 {
			k.notes.Take("", now, now, records)
		}
	}
}

func readMessage(m *kgo.Record) (receiver.Record, error) {
	var r receiver.Record
	if err := json.Unmarshal(m.Value, &r); err != nil {
		return r, err
	}
	for _, h := range m.Headers {
		if h.Key == "id" && string(h.Value) == r.ID {
			return r, nil
		}
	}
	return r, fmt.Errorf("no header has the id %s", r.ID)
}
