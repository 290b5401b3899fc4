package sink

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/agent/record"
)

func TestMain(m *testing.M) {
	if os.Getenv("BATON_TEST_BROKEN_STDOUT") != "" {
		writeToBrokenStdout()
	}
	if os.Getenv("BATON_TEST_PROXY") != "" {
		sayProxy()
	}
	if path := os.Getenv("BATON_TEST_FILE"); path != "" {
		appendUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// records gives n of about the size that a kubelet's have.
func records(n int) []*record.Record {
	batch := make([]*record.Record, n)
	for i := range batch {
		name := fmt.Sprintf("web-7d4b9c6f5-%05d", i)
		at := time.Date(2026, 7, 1, 12, 0, i%60, 0, time.UTC)
		batch[i] = &record.Record{
			ID:      fmt.Sprintf("7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11/c0ffee00-0000-4000-8000-%012d/%d", i, 48000+i),
			Cluster: "7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11",
			Time:    at, First: at, Last: at, Count: int64(i%9) + 1,
			Type: "Warning", Reason: "BackOff", Namespace: "shop", Name: name + ".18a1f2c3d4e5f607",
			Message: "Back-off restarting failed container web in pod " + name,
			Object: record.Object{
				APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: name,
				UID: fmt.Sprintf("c0ffee00-0000-4000-9000-%012d", i), FieldPath: "spec.containers{web}",
			},
			Source: record.Source{Component: "kubelet", Instance: "node-3", Host: "node-3"},
			Leader: record.Leader{Identity: "baton-x2x7q_0b9d6c1e-4f0a-4a51-8c8e-0d7c1f7b9a10_agent_5f2c81d0", Epoch: 7},
		}
	}
	return batch
}
