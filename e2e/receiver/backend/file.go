package backend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/receiver"
)

// filePoll is how often the files are looked at.
const filePoll = 20 * time.Millisecond

// files are what agents write to, a file each, as on nodes of their own, and a reader that notes the lines.
type files struct {
	notes *receiver.Receiver
	// live is the folder with the paths of the configuration. data is where the files are, away from where they are
	// while live is away.
	live, data, away string
	full             bool // the disk is full while it is down; else the folder is gone

	mu     sync.Mutex
	agents map[string]*tailed
	down   bool
	stop   chan struct{}
	wg     sync.WaitGroup
}

// tailed is a file that is read as it grows.
type tailed struct {
	file *os.File
	read int64
	lock *os.File // with which it is kept from its writer, nil for none
}

// openFile has a folder that is moved away while it is down, as a mount that is lost.
func openFile(o *opening) error { return o.openFiles(false) }

// openFullFile has a path that leads to a full device while it is down.
func openFullFile(o *opening) error { return o.openFiles(true) }

func (o *opening) openFiles(full bool) error {
	f := &files{
		notes: receiver.New(), live: filepath.Join(o.dir, "live"), away: filepath.Join(o.dir, "away"), full: full,
		agents: map[string]*tailed{}, stop: make(chan struct{}),
	}
	f.data = f.live
	if full {
		f.data = filepath.Join(o.dir, "data")
		if err := os.Mkdir(f.data, 0o700); err != nil {
			return err
		}
	}
	if err := os.Mkdir(f.live, 0o700); err != nil {
		return err
	}
	o.Receiver, o.service = f.notes, f
	o.Options = f.options
	f.wg.Go(f.follow)
	return nil
}

func (f *files) options(agent string) (map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.agents[agent] = &tailed{}
	options := map[string]string{"path": strconv.Quote(filepath.Join(f.live, agent))}
	if !f.full {
		return options, nil
	}
	return options, f.link(agent, filepath.Join(f.data, agent))
}

// link has the agent's path lead elsewhere, in one step.
func (f *files) link(agent, to string) error {
	next := filepath.Join(f.live, agent+".next")
	if err := os.Symlink(to, next); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(f.live, agent))
}

func (f *files) Down() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return
	}
	f.down = true
	if err := f.move(f.live, f.away, func(string) string { return "/dev/full" }); err != nil {
		f.notes.Complain("taking the files away: " + err.Error())
	}
}

// Fail locks the files, as another writer does, or has their disk full.
func (f *files) Fail() {
	if f.full {
		f.Down()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for agent, t := range f.agents {
		if t.lock != nil {
			continue
		}
		if err := t.take(filepath.Join(f.data, agent)); err != nil {
			f.notes.Complain(fmt.Sprintf("locking the file of %s: %v", agent, err))
		}
	}
}

// take waits for the file's writer, which locks it for as long as it writes.
func (t *tailed) take(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	t.lock = file
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
}

func (t *tailed) release() {
	if t.lock != nil {
		_ = t.lock.Close() // which frees it
		t.lock = nil
	}
}

func (f *files) Up() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.agents {
		t.release()
	}
	if !f.down {
		return nil
	}
	f.down = false
	return f.move(f.away, f.live, func(agent string) string { return filepath.Join(f.data, agent) })
}

// move renames the folder, or where it is the disk that is full, has each path lead elsewhere.
func (f *files) move(from, to string, target func(agent string) string) error {
	if !f.full {
		return os.Rename(from, to)
	}
	var errs []error
	for agent := range f.agents {
		errs = append(errs, f.link(agent, target(agent)))
	}
	return errors.Join(errs...)
}

func (f *files) Close() {
	close(f.stop)
	f.wg.Wait()
	for _, t := range f.agents {
		t.release()
		if t.file != nil {
			_ = t.file.Close() // it was read
		}
	}
}

func (f *files) follow() {
	ticker := time.NewTicker(filePoll)
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-ticker.C:
		}
		f.mu.Lock()
		for agent, t := range f.agents {
			if err := f.poll(agent, t); err != nil {
				f.notes.Complain(fmt.Sprintf("reading the file of %s: %v", agent, err))
			}
		}
		f.mu.Unlock()
	}
}

// poll takes the lines that are whole. One that is not may yet be cut off, by who finds that a crash has torn it.
func (f *files) poll(agent string, t *tailed) error {
	now := time.Now()
	if t.file == nil {
		file, err := os.Open(filepath.Join(f.data, agent))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		t.file = file
	}
	grown, err := io.ReadAll(io.NewSectionReader(t.file, t.read, 1<<30))
	if err != nil {
		return err
	}
	whole := grown[:bytes.LastIndexByte(grown, '\n')+1]
	if len(whole) == 0 {
		return nil
	}
	t.read += int64(len(whole))
	var records []receiver.Record
	for line := range bytes.Lines(whole) {
		var r receiver.Record
		if err := json.Unmarshal(line, &r); err != nil {
			f.notes.Complain(fmt.Sprintf("the line %q of %s: %v", line, agent, err))
			continue
		}
		records = append(records, r)
	}
	f.notes.Take(agent, now, now, records)
	return nil
}
