package sink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

func openFile(t *testing.T, path string, configure func(o *FileOptions)) *fileSink {
	t.Helper()
	o := newFileOptions()
	o.Path = path
	if configure != nil {
		configure(o)
	}
	return openSink[*fileSink](t, o)
}

// linesOf are the ids in the file and those that were rotated, the oldest first.
func linesOf(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	for i := fileMaxKept; i >= 0; i-- {
		name := path
		if i > 0 {
			name = fmt.Sprintf("%s.%d", path, i)
		}
		content, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(t, err)
		if len(content) > 0 && content[len(content)-1] != '\n' {
			t.Errorf("%s ends in a torn line", name)
		}
		all = append(all, idsOf(t, content)...)
	}
	return all
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestFileAppends(t *testing.T) {
	for _, fsync := range []string{"always", "never"} {
		path := filepath.Join(t.TempDir(), "events.log")
		batch := records(7)
		for i := range batch { // each time by a new process, so to speak
			s := openFile(t, path, func(o *FileOptions) { o.Fsync, o.Mode = fsync, "0600" })
			must(t, s.Send(t.Context(), batch[i:i+1]))
		}
		same(t, "lines", linesOf(t, path), ids(batch))
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
	}
}

func TestFileRotates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.log")
	write(t, filepath.Join(dir, "events.log.20260701"), "another's\n")
	for _, i := range []int{3, 4} { // of a time when max_files was more
		write(t, fmt.Sprint(path, ".", i), "")
	}
	s := openFile(t, path, func(o *FileOptions) { o.MaxFileBytes, o.MaxFiles = 4096, 3 })
	all := records(60)
	for batch := range slices.Chunk(all, 2) {
		must(t, s.Send(t.Context(), batch))
	}
	if got := names(t, dir); got != "events.log events.log.1 events.log.2 events.log.20260701" {
		t.Errorf("files %s", got)
	}
	kept := linesOf(t, path)
	same(t, "the newest", kept, ids(all[len(all)-len(kept):]))
	for _, name := range []string{path + ".1", path + ".2"} {
		if info, err := os.Stat(name); err != nil || info.Size() > 4096 || info.Size() < 2000 {
			t.Errorf("%s: %v, %v", name, info.Size(), err)
		}
	}
	must(t, s.Send(t.Context(), records(30))) // alone larger than a file may be
	if info, err := os.Stat(path); err != nil || info.Size() < 10000 {
		t.Errorf("%v %v", info, err)
	}
}

func TestFileNeverRotatesWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	target, link := write(t, filepath.Join(dir, "target"), ""), filepath.Join(dir, "link")
	must(t, os.Symlink(target, link))
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that it has one
	must(t, err)
	defer reader.Close()
	for _, path := range []string{link, fifo, "/dev/null"} {
		s := openFile(t, path, func(o *FileOptions) { o.MaxFileBytes = 4096 })
		for range 10 {
			must(t, s.Send(t.Context(), records(3)))
		}
	}
	if got := names(t, dir); got != "fifo link target" {
		t.Errorf("files %s", got)
	}
	if got := linesOf(t, target); len(got) != 30 {
		t.Errorf("%d lines behind the link", len(got))
	}
	buffer := make([]byte, 1<<20)
	n, err := reader.Read(buffer)
	must(t, err)
	if got := idsOf(t, buffer[:n]); len(got) != 30 {
		t.Errorf("%d lines in the pipe", len(got))
	}
}

// /dev/stdout is a link, and what it leads to, here a file, stays where it is.
func TestFileDevStdout(t *testing.T) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	must(t, err)
	defer out.Close()
	link := filepath.Join(dir, "stdout") // as /dev/stdout is one to /proc/self/fd/1
	must(t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", out.Fd()), link))
	if _, err := os.Stat(link); err != nil {
		link = out.Name() // no /proc: nothing to try
	}
	s := openFile(t, link, func(o *FileOptions) { o.MaxFileBytes = 1 << 20 })
	for range 10 {
		must(t, s.Send(t.Context(), records(3)))
	}
	if got := linesOf(t, out.Name()); len(got) != 30 {
		t.Errorf("%d lines", len(got))
	}
}

// Whatever a crash or someone else has left at the end, lines that are whole stay, and what follows begins a line.
func TestFileTornLines(t *testing.T) {
	line := string(appendLines(nil, records(1)))
	for _, c := range []struct{ before, after string }{
		{"", ""},
		{line, line},
		{line + line[:len(line)/2], line},
		{line + line[:1], line},
		{line[:len(line)-1], ""},
		{line + "{", line},
		{"text\n", "text\n"},
		{"text", "text\n"},
		{line + "text", line + "text\n"},
		{line + `{"other":"json`, line + `{"other":"json` + "\n"},
		{line + line[:7] + strings.Repeat("x", 200<<10), line},
		{line + strings.Repeat("x", 200<<10), line + strings.Repeat("x", 200<<10) + "\n"},
		{"\n", "\n"},
		{line[:7] + strings.Repeat("x", fileMaxTail), line[:7] + strings.Repeat("x", fileMaxTail) + "\n"},
	} {
		path := tempFile(t, c.before)
		var log strings.Builder
		o := newFileOptions()
		o.Path = path
		s, err := o.Open(Environment{Log: slog.New(slog.NewTextHandler(&log, nil))})
		must(t, err)
		batch := records(3)[1:]
		must(t, s.Send(t.Context(), batch))
		closed(t, s)
		got, err := os.ReadFile(path)
		must(t, err)
		if want := c.after + string(appendLines(nil, batch)); string(got) != want {
			t.Errorf("%.60q became %.100q, want %.100q", c.before, got, want)
		}
		if cut := len(c.after) < len(c.before); cut != strings.Contains(log.String(), "torn") {
			t.Errorf("%.60q: log %q", c.before, log.String())
		}
	}
}

// A disk that is full is tried again; what was written of a batch that failed is taken back.
func TestFileDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err == nil { // Linux has one
		full := openFile(t, "/dev/full", nil)
		if err := full.Send(t.Context(), records(1)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v, want ENOSPC", err)
		}
	}
	path := filepath.Join(t.TempDir(), "events.log")
	s := openFile(t, path, nil)
	batch := records(6)
	must(t, s.Send(t.Context(), batch[:3]))
	for _, room := range []int{0, 1, 700, 2000} {
		s.writer.write = func(f *os.File, p []byte) (int, error) {
			n, _ := f.Write(p[:min(room, len(p))])
			return n, syscall.ENOSPC
		}
		err := s.Send(t.Context(), batch[3:])
		if _, refused := errors.AsType[*Refused](err); refused || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want ENOSPC and the path", err)
		}
		same(t, "after a full disk", linesOf(t, path), ids(batch[:3]))
	}
	s.writer.write = (*os.File).Write
	must(t, s.Send(t.Context(), batch[3:]))
	same(t, "in the end", linesOf(t, path), ids(batch))
}

// The path may appear later, be renamed, removed or be another file: lines go where it is now.
func TestFileFollowsItsPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mounted")
	path := filepath.Join(dir, "events.log")
	s := openFile(t, path, nil)
	batch := records(5)
	if err := s.Send(t.Context(), batch[:1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the directory is missing", err)
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, s.Send(t.Context(), batch[:1]))
	must(t, os.Rename(path, path+".old"))
	must(t, s.Send(t.Context(), batch[1:2]))
	same(t, "after a rename", linesOf(t, path), ids(batch[1:2]))
	must(t, os.Remove(path))
	must(t, s.Send(t.Context(), batch[2:3]))
	must(t, os.Rename(write(t, path+".new", ""), path))
	must(t, s.Send(t.Context(), batch[3:4]))
	same(t, "in another file", linesOf(t, path), ids(batch[3:4]))
	must(t, os.RemoveAll(dir))
	if err := s.Send(t.Context(), batch[4:]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the directory is missing", err)
	}
	must(t, os.MkdirAll(path, 0o700))
	if err := s.Send(t.Context(), batch[4:]); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("error %v", err)
	}
}

func TestFileLockedByAnotherProcess(t *testing.T) {
	path := tempFile(t, "")
	s := openFile(t, path, nil)
	other, err := os.Open(path)
	must(t, err)
	must(t, lockFile(other, syscall.LOCK_EX))
	if err := s.Send(t.Context(), records(1)); err == nil || !strings.Contains(err.Error(), "locked by another process") {
		t.Errorf("error %v", err)
	}
	other.Close()
	must(t, s.Send(t.Context(), records(1)))
}

func TestFileRotationFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	must(t, os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700))
	s := openFile(t, path, func(o *FileOptions) { o.MaxFileBytes = 4096 })
	must(t, os.MkdirAll(filepath.Join(path+".2", "in the way"), 0o700))
	must(t, os.MkdirAll(filepath.Join(path+".3", "in the way"), 0o700))
	must(t, os.MkdirAll(filepath.Join(path+".4", "in the way"), 0o700))
	must(t, s.Send(t.Context(), records(5)))
	if err := s.Send(t.Context(), records(5)); err == nil || !strings.Contains(err.Error(), "max_file_bytes: ") {
		t.Errorf("error %v", err)
	}
	must(t, os.RemoveAll(path+".4"))
	must(t, s.Send(t.Context(), records(5)))
}

// A pipe that nobody reads neither holds up the start nor the end.
func TestFileBlockedPipe(t *testing.T) {
	o := newFileOptions()
	o.Path = filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(o.Path, 0o600))
	s, err := o.Open(Environment{})
	must(t, err)
	if err := s.Send(t.Context(), records(1)); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("error %v, want that nobody reads", err)
	}
	reader, err := os.OpenFile(o.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Send(ctx, records(500)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "is blocked") {
		t.Errorf("error %v", err)
	}
	<-s.(*fileSink).ended // the write was broken off
}

// Processes that are killed in the midst of their work leave no torn line behind once the next one writes, and what they
// acknowledged is there.
func TestFileKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	acknowledged := 0
	for range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "BATON_TEST_FILE="+path, fmt.Sprint("BATON_TEST_FILE_FROM=", acknowledged))
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		told := bufio.NewScanner(out)
		for range 4 {
			told.Scan()
		}
		cmd.Process.Kill()
		for told.Scan() { // what it said before it died
			acknowledged++
		}
		acknowledged += 4
		cmd.Wait()
	}
	s := openFile(t, path, func(o *FileOptions) { o.MaxFileBytes, o.MaxFiles = 1<<20, 1000 })
	must(t, s.Send(t.Context(), batchOf(acknowledged)))
	stored := map[string]bool{}
	for _, id := range linesOf(t, path) {
		stored[id] = true
	}
	for i := range acknowledged + 1 {
		for _, r := range batchOf(i) {
			if !stored[r.ID] {
				t.Fatalf("%s of the batch %d is lost", r.ID, i)
			}
		}
	}
}

// batchOf are records of their own for each i.
func batchOf(i int) []*record.Record {
	batch := records(500)
	for _, r := range batch {
		r.ID = fmt.Sprintf("%s/%d", r.ID, i)
	}
	return batch
}

// appendUntilKilled writes a batch after the other, and says a line after each.
func appendUntilKilled(path string) {
	from, _ := strconv.Atoi(os.Getenv("BATON_TEST_FILE_FROM"))
	o := newFileOptions()
	o.Path, o.Fsync, o.MaxFileBytes, o.MaxFiles = path, "never", 1<<20, 1000
	s, err := o.Open(Environment{})
	for i := from; err == nil; i++ {
		if err = s.Send(context.Background(), batchOf(i)); err == nil {
			fmt.Println(i)
		}
	}
	panic(err)
}

// Several sinks at one path take turns, over its rotations too.
func TestFileSeveralSinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	all := records(1000)
	var wg sync.WaitGroup
	for part := range slices.Chunk(all, 250) {
		s := openFile(t, path, func(o *FileOptions) { o.MaxFileBytes, o.MaxFiles, o.Fsync = 20000, 1000, "never" })
		wg.Go(func() {
			for batch := range slices.Chunk(part, 5) {
				if err := s.Send(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := linesOf(t, path)
	slices.Sort(got)
	want := ids(all)
	slices.Sort(want)
	same(t, "lines", got, want)
}

// Ten thousand records through full disks, failed syncs, crashes in the midst of a line, rotations and others who move the
// file away: all are there, and each line is whole. Nothing else is there, but for what a crash left.
func TestFileFaults(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.log")
	all := records(10000)
	moved, tries := 0, 0
	open := func() *fileSink {
		s := openFile(t, path, func(o *FileOptions) { o.MaxFileBytes, o.MaxFiles, o.Fsync = 300000, 1000, "never" })
		s.writer.write = func(f *os.File, p []byte) (int, error) {
			switch tries++; tries % 7 {
			case 2:
				n, _ := f.Write(p[:len(p)*2/3])
				return n, syscall.ENOSPC
			case 4:
				n, _ := f.Write(p)
				return n, syscall.EIO
			case 6:
				f.Write(p[:len(p)/2])
				f.Close() // so that nothing can be taken back, as after a crash
				return 0, syscall.EIO
			}
			return f.Write(p)
		}
		return s
	}
	s := open()
	for i, batch := range slices.Collect(slices.Chunk(all, 100)) {
		if i%9 == 8 {
			moved++
			must(t, os.Rename(path, fmt.Sprintf("%s.%d", filepath.Join(dir, "moved"), moved)))
		}
		if i%11 == 10 {
			s = open()
		}
		if refused := deliver(t, s, batch, nil); len(refused) > 0 {
			t.Fatal("refused")
		}
	}
	stored := map[string]int{}
	for _, id := range append(linesOf(t, path), linesOf(t, filepath.Join(dir, "moved"))...) {
		stored[id] = 1 // lines that a crash has left whole come again
	}
	eachOnce(t, stored, all)
	if tries < 120 || moved < 10 {
		t.Errorf("%d tries, %d times moved", tries, moved)
	}
}

func TestFileCheck(t *testing.T) {
	for _, c := range []struct {
		set  func(o *FileOptions)
		keys string
	}{
		{func(*FileOptions) {}, ""},
		{func(o *FileOptions) { o.Path, o.MaxFileBytes, o.Fsync = "/dev/stdout", 0, "never" }, ""},
		{func(o *FileOptions) { o.Path = "" }, "path"},
		{func(o *FileOptions) { o.Path = "events.log" }, "path"},
		{func(o *FileOptions) { o.Path = "/var//log/../e" }, "path"},
		{func(o *FileOptions) { o.Fsync = "sometimes" }, "fsync"},
		{func(o *FileOptions) { o.MaxFileBytes = 100 }, "max_file_bytes"},
		{func(o *FileOptions) { o.MaxFileBytes = -1 }, "max_file_bytes"},
		{func(o *FileOptions) { o.MaxFiles = 1 }, "max_files"},
		{func(o *FileOptions) { o.Mode = "rw" }, "mode"},
		{func(o *FileOptions) { o.Mode = "0440" }, "mode"},
		{func(o *FileOptions) { o.Mode = "7777" }, "mode"},
	} {
		o := newFileOptions()
		o.Path = "/var/log/baton/events.log"
		c.set(o)
		if got := problemKeys(o); got != c.keys {
			t.Errorf("problems with %q, want %q", got, c.keys)
		}
	}
}

// FuzzFile: whatever the file ends with and the record has in it, the record becomes a line of its own, and no line that
// was whole before is touched.
func FuzzFile(f *testing.F) {
	f.Add([]byte("text"), "message")
	f.Add([]byte("{\"id\":\"a\"}\n{\"id\":\"b"), "a\nb")
	f.Add([]byte("{\"i"), "\x00")
	f.Add(bytes.Repeat([]byte("x"), 70000), "")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, before []byte, message string) {
		path := filepath.Join(dir, "events.log")
		must(t, os.WriteFile(path, before, 0o600))
		o := newFileOptions()
		o.Path, o.Fsync = path, "never"
		s, err := o.Open(Environment{})
		must(t, err)
		r := &record.Record{ID: "id", Message: strings.ToValidUTF8(message, "?")}
		must(t, s.Send(t.Context(), []*record.Record{r}))
		closed(t, s)
		after, err := os.ReadFile(path)
		must(t, err)
		whole := before[:bytes.LastIndexByte(before, '\n')+1]
		last := after[bytes.LastIndexByte(after[:len(after)-1], '\n')+1:]
		var got record.Record
		if err := json.Unmarshal(last, &got); err != nil || got.Message != r.Message || !bytes.HasPrefix(after, whole) {
			t.Errorf("%v: %q became %q", err, before, after)
		}
	})
}

// A file that isn't there yet is only as good as its directory, in which a probe leaves nothing.
func TestFileProbe(t *testing.T) {
	dir := t.TempDir()
	must(t, openFile(t, filepath.Join(dir, "events.log"), nil).Probe(t.Context()))
	if left := names(t, dir); left != "" {
		t.Errorf("it left %s", left)
	}
	if err := openFile(t, "/proc/events.log", nil).Probe(t.Context()); err == nil {
		t.Error("no word of a directory in which nobody can make a file")
	}
}
