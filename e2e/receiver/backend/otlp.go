package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/eventbaton/baton/e2e/port"
	"github.com/eventbaton/baton/e2e/receiver"
)

// shutdownTimeout is for the requests that are being answered when a server goes down.
const shutdownTimeout = time.Second

// collector is the OpenTelemetry Collector's own receiver, for one of its two protocols.
type collector struct {
	consumertest.LogsSink // what a consumer has besides; nothing is kept in it
	notes                 *receiver.Receiver
	protocol              string
	port                  int

	failing atomic.Bool

	mu       sync.Mutex
	shutdown func(context.Context) error // nil while it is down
}

func openOTLP(protocol string) func(*opening) error {
	return func(o *opening) error {
		p, err := port.Take()
		if err != nil {
			return err
		}
		c := &collector{notes: receiver.New(), protocol: protocol, port: p}
		o.Receiver, o.service = c.notes, c
		o.Options = with(map[string]string{"protocol": protocol, "url": strconv.Quote(port.URL("http", p))})
		return c.Up()
	}
}

// Fail has what comes after the Collector's receiver fail, of which it tells in the words of its protocol.
func (c *collector) Fail() { c.failing.Store(true) }

func (c *collector) Up() error {
	c.failing.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shutdown != nil {
		return nil
	}
	factory := otlpreceiver.NewFactory()
	config, ok := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	if !ok {
		return fmt.Errorf("the Collector's configuration is a %T", factory.CreateDefaultConfig())
	}
	if c.protocol == "grpc" {
		config.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = port.Address(c.port)
	} else {
		config.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = port.Address(c.port)
	}
	r, err := factory.CreateLogs(context.Background(), receivertest.NewNopSettings(factory.Type()), config, c)
	if err != nil {
		return fmt.Errorf("making the Collector's receiver: %w", err)
	}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		return fmt.Errorf("starting the Collector's receiver: %w", err)
	}
	c.shutdown = r.Shutdown
	return nil
}

func (c *collector) Down() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shutdown == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := c.shutdown(ctx); err != nil {
		c.notes.Complain("ending the Collector's receiver: " + err.Error())
	}
	c.shutdown = nil
}

func (c *collector) Close() {
	c.Down()
	port.Give(c.port)
}

// ConsumeLogs takes one request.
func (c *collector) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	if c.failing.Load() {
		return errors.New("as the test asked")
	}
	now := time.Now()
	var records []receiver.Record
	for _, of := range logs.ResourceLogs().All() {
		for _, scope := range of.ScopeLogs().All() {
			for _, log := range scope.LogRecords().All() {
				records = append(records, logged(log))
			}
		}
	}
	c.notes.Take("", now, now, records)
	return nil
}

func logged(log plog.LogRecord) receiver.Record {
	a := log.Attributes()
	r := receiver.Record{
		ID: text(a, "log.record.uid"), Namespace: text(a, "k8s.namespace.name"), Name: text(a, "k8s.event.name"),
		Message: log.Body().Str(),
	}
	r.Leader.Identity = text(a, "baton.leader.identity")
	r.Leader.Epoch, _ = number(a, "baton.leader.epoch")
	r.Count, _ = number(a, "k8s.event.count")
	if delta, ok := number(a, "baton.count_delta"); ok {
		r.CountDelta = &delta
	}
	return r
}

func text(of pcommon.Map, name string) string {
	v, _ := of.Get(name)
	return v.Str()
}

func number(of pcommon.Map, name string) (int64, bool) {
	v, ok := of.Get(name)
	if !ok {
		return 0, false
	}
	return v.Int(), true
}
