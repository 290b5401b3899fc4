package main

import (
	"context"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	typedevents "k8s.io/client-go/kubernetes/typed/events/v1"
)

// cast is a client whose events are those of a small shop's pods: the generator numbers and remembers them, the cast
// says what they are about.
type cast struct{ kubernetes.Interface }

func (c cast) CoreV1() typedcore.CoreV1Interface       { return coreCast{c.Interface.CoreV1()} }
func (c cast) EventsV1() typedevents.EventsV1Interface { return seriesCast{c.Interface.EventsV1()} }

type coreCast struct{ typedcore.CoreV1Interface }

func (c coreCast) Events(ns string) typedcore.EventInterface {
	return coreEvents{c.CoreV1Interface.Events(ns)}
}

type coreEvents struct{ typedcore.EventInterface }

func (c coreEvents) Create(ctx context.Context, e *corev1.Event, o metav1.CreateOptions) (*corev1.Event, error) {
	l := nextLine()
	e.Type, e.Reason, e.Message, e.Source.Component = l.typ, l.reason, l.message, l.who
	e.InvolvedObject = l.about(e.Namespace)
	return c.EventInterface.Create(ctx, e, o)
}

type seriesCast struct{ typedevents.EventsV1Interface }

func (c seriesCast) Events(ns string) typedevents.EventInterface {
	return seriesEvents{c.EventsV1Interface.Events(ns)}
}

type seriesEvents struct{ typedevents.EventInterface }

func (c seriesEvents) Create(ctx context.Context, e *eventsv1.Event, o metav1.CreateOptions) (*eventsv1.Event, error) {
	l := nextLine()
	e.Type, e.Reason, e.Note, e.ReportingController, e.Action = l.typ, l.reason, l.message, l.who, "Report"
	e.Regarding = l.about(e.Namespace)
	return c.EventInterface.Create(ctx, e, o)
}

// spoken counts the lines: each event speaks the next one.
var spoken atomic.Int64

// said is what an event says.
type said struct{ kind, object, typ, reason, message, who string }

func (l said) about(namespace string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: versions[l.kind], Kind: l.kind, Namespace: namespace, Name: l.object}
}

var versions = map[string]string{"Pod": "v1", "Deployment": "apps/v1", "Job": "batch/v1"}

// script is what happens in a shop, over and over; %s is the app. The words are those of Kubernetes' own components.
var script = []struct{ kind, typ, reason, message, who string }{
	{"Deployment", "Normal", "ScalingReplicaSet", "Scaled up replica set %s from 1 to 2", "deployment-controller"},
	{"Pod", "Normal", "Scheduled", "Successfully assigned %s to node-1", "default-scheduler"},
	{"Pod", "Normal", "Pulled", "Container image \"%s:1.4\" already present on machine", "kubelet"},
	{"Pod", "Normal", "Created", "Container created: %s", "kubelet"},
	{"Pod", "Normal", "Started", "Container started: %s", "kubelet"},
	{"Pod", "Warning", "Unhealthy", "Readiness probe of %s failed: connection refused", "kubelet"},
	{"Job", "Normal", "Completed", "Job %s completed", "job-controller"},
	{"Pod", "Warning", "BackOff", "Back-off restarting failed container %s", "kubelet"},
	{"Pod", "Normal", "Killing", "Stopping container %s", "kubelet"},
}

var apps = []string{"web", "cart", "search", "payment"}

func nextLine() said { return speak(spoken.Add(1)) }

// speak is the n-th line. An app has several in a row, as in a cluster.
func speak(n int64) said {
	l := script[n%int64(len(script))]
	round := n / int64(len(script))
	app := apps[round%int64(len(apps))]
	object := app
	if l.kind != "Deployment" {
		object = fmt.Sprintf("%s-%04x", app, uint16(round*40503+7))
	}
	return said{l.kind, object, l.typ, l.reason, fmt.Sprintf(l.message, app), l.who}
}
