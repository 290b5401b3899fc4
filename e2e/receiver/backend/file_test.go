package backend

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/e2e/receiver"
)

// A line counts once it has its end, and one that was torn by a crash and cut off counts not at all.
func TestFileTakesWholeLines(t *testing.T) {
	dir := t.TempDir()
	line := func(i int) []byte {
		encoded, err := json.Marshal(batch(i, 1)[0])
		if err != nil {
			t.Fatal(err)
		}
		return append(encoded, '\n')
	}
	first := line(1)
	file, err := os.Create(filepath.Join(dir, agent))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write := func(p []byte) {
		if _, err := file.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := &files{notes: receiver.New(), data: dir, agents: map[string]*tailed{agent: {}, "baton-1": {}}, stop: make(chan struct{})}
		f.wg.Go(f.follow)
		write(first)
		write(line(2)[:20])
		time.Sleep(2 * filePoll)
		if n := f.notes.Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
		if err := file.Truncate(int64(len(first))); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(0, 2); err != nil {
			t.Fatal(err)
		}
		write(line(3))
		write([]byte("nonsense\n"))
		time.Sleep(2 * filePoll)
		f.Close()
		if n := f.notes.Len(); n != 2 || len(f.notes.Bad()) != 1 {
			t.Errorf("%d lines, bad %v", n, f.notes.Bad())
		}
	})
}
