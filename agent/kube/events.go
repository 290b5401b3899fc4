package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/source"
)

// EventReader lists and watches events with a bound on what is held in memory.
type EventReader struct {
	client  *Client
	buffers sync.Pool // of *bytes.Buffer: the encoded page, needed only while it is decoded
}

var _ source.Events = (*EventReader)(nil)

// EventReader reads the events.
func (c *Client) EventReader() *EventReader {
	return &EventReader{client: c, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

// List implements source.Events. The page is read only as far as maxBytes, because a page is as large as its
// events are: 500 of them can be 700 MB.
func (e *EventReader) List(ctx context.Context, namespace string, opts metav1.ListOptions, maxBytes int64) (*corev1.EventList, error) {
	body, err := e.client.core.Get().NamespaceIfScoped(namespace, namespace != "").Resource("events").
		VersionedParams(&opts, parameters).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	buf := e.buffers.Get().(*bytes.Buffer)
	defer e.buffers.Put(buf)
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(body, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading a page of events: %w", err)
	}
	if n > maxBytes {
		return nil, source.ErrPageTooLarge
	}
	list := &corev1.EventList{}
	if _, _, err := codecs.UniversalDeserializer().Decode(buf.Bytes(), nil, list); err != nil {
		return nil, fmt.Errorf("decoding a page of events: %w", err)
	}
	return list, nil
}

// Watch implements source.Events.
func (e *EventReader) Watch(ctx context.Context, namespace string, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	return e.client.watches.Get().NamespaceIfScoped(namespace, namespace != "").Resource("events").
		VersionedParams(&opts, parameters).Watch(ctx)
}
