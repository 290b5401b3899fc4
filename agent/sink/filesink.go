package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/eventbaton/baton/agent/record"
)

const (
	fileMaxTail = 16 << 20 // how far back a last line without an end is looked at
	fileMaxKept = 1000
)

// FileOptions are those of the type file.
type FileOptions struct {
	Path         string `yaml:"path" doc:"The file that records are appended to, a line each. Its directory has to be there. It may be a pipe or a device."`
	Fsync        string `yaml:"fsync" doc:"always: a record counts as delivered once it is on the disk; never: once the kernel has it, which a crash of the node may lose."`
	MaxFileBytes int    `yaml:"max_file_bytes" doc:"Size at which the file is renamed to path.1, that one to path.2, and so on; 0 for never. Only a regular file that is no symbolic link is ever renamed, never /dev/stdout."`
	MaxFiles     int    `yaml:"max_files" doc:"How many files are kept, the one that is written to among them."`
	Mode         string `yaml:"mode" doc:"Rights of a file that is made, in octal and in quotes."`
}

func newFileOptions() *FileOptions {
	return &FileOptions{Fsync: "always", MaxFileBytes: 100 << 20, MaxFiles: 5, Mode: "0640"}
}

// Check returns all that is wrong with the values.
func (o *FileOptions) Check() []Problem {
	var p []Problem
	switch {
	case o.Path == "":
		p = append(p, Problem{"path", "is missing: name a file"})
	case !filepath.IsAbs(o.Path):
		p = append(p, Problem{"path", "is relative: write it with the / that it begins with"})
	case o.Path != filepath.Clean(o.Path):
		p = append(p, Problem{"path", "is not in its shortest form: write " + filepath.Clean(o.Path)})
	}
	if o.Fsync != "always" && o.Fsync != "never" {
		p = append(p, Problem{"fsync", "is neither always nor never"})
	}
	if o.MaxFileBytes != 0 && (o.MaxFileBytes < 4096 || o.MaxFileBytes > 1<<40) {
		p = append(p, Problem{"max_file_bytes", "must be 0, or from 4096 to 1099511627776"})
	}
	if o.MaxFiles < 2 || o.MaxFiles > fileMaxKept {
		p = append(p, Problem{"max_files", "must be from 2 to 1000: one is written to, one is the last that was"})
	}
	if mode, err := strconv.ParseUint(o.Mode, 8, 32); err != nil || mode > 0o777 || mode&0o200 == 0 {
		p = append(p, Problem{"mode", `is not the rights of a file that its owner may write: write it as "0640"`})
	}
	return p
}

// Open makes the sink of options that Check finds nothing wrong with. It opens no file: the path may appear later.
func (o *FileOptions) Open(env Environment) (Sink, error) {
	mode, err := strconv.ParseUint(o.Mode, 8, 32)
	if err != nil {
		return nil, fmt.Errorf("mode: %w", err)
	}
	w := &fileWriter{options: *o, mode: os.FileMode(mode), log: env.withDefaults().Log, write: (*os.File).Write}
	return &fileSink{lineSink: newLineSink(o.Path, w), writer: w}, nil
}

// fileSink appends each batch to a file.
type fileSink struct {
	*lineSink
	writer *fileWriter
}

// Close closes the file, which also ends a write to a pipe that nobody reads.
func (s *fileSink) Close() error {
	err := s.lineSink.Close()
	s.writer.close()
	return err
}

// Probe opens the file for writing and writes nothing. Where it isn't there it makes another one beside it, and removes it.
func (s *fileSink) Probe(context.Context) error {
	path := s.writer.options.Path
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0) //nolint:gosec // the configuration names it
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.CreateTemp(filepath.Dir(path), ".baton-probe-"); err == nil {
			defer os.Remove(f.Name())
		}
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// fileWriter appends to the file that is at its path now. What it writes to a file of its own, a regular one that is no
// symbolic link, is there whole or not at all. Anything else it writes to as it is.
//
// Several writers may have one path, also those of several processes, such as a leader's that has to go and its
// successor's on the same node: they take turns, by a lock on the file.
type fileWriter struct {
	options FileOptions
	mode    os.FileMode
	log     *slog.Logger
	write   func(*os.File, []byte) (int, error) // a test's own disk

	file atomic.Pointer[os.File]
	own  bool // what file is
}

// fileTurns are the locks of the paths in this process.
var fileTurns sync.Map // of *sync.Mutex

// Write appends p, which has whole lines. Of an own file it appends all or, with an error, nothing.
func (w *fileWriter) Write(p []byte) (int, error) {
	turn, _ := fileTurns.LoadOrStore(w.options.Path, &sync.Mutex{})
	mu := turn.(*sync.Mutex) //nolint:forcetypeassert // nothing else is in there
	mu.Lock()
	defer mu.Unlock()
	f, err := w.current()
	if err != nil {
		return 0, err
	}
	if !w.own {
		return w.append(f, p)
	}
	defer func() {
		if f != nil { // not after a rotation that failed
			_ = lockFile(f, syscall.LOCK_UN) // closing it does as well
		}
	}()
	size, err := w.repair(f)
	if err == nil && w.options.MaxFileBytes > 0 && size > 0 && size+int64(len(p)) > int64(w.options.MaxFileBytes) {
		if f, err = w.rotate(); err == nil {
			size, err = w.repair(f)
		}
	}
	if err != nil {
		w.close()
		return 0, err
	}
	n, err := w.append(f, p)
	if err != nil {
		_ = f.Truncate(size) // else the next try repairs it
		w.close()
		return 0, err
	}
	return n, nil
}

// append writes, and waits for the disk where that is asked for and there is one.
func (w *fileWriter) append(f *os.File, p []byte) (int, error) {
	n, err := w.write(f, p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err == nil && w.options.Fsync == "always" && w.regular(f) {
		err = f.Sync()
	}
	if err != nil && !w.own {
		w.close() // the reader of a pipe may be another one next time
	}
	return n, err
}

func (w *fileWriter) regular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

func (w *fileWriter) close() {
	if f := w.file.Swap(nil); f != nil {
		_ = f.Close() // what had to be on the disk is
	}
}

// current gives the file that is at the path, locked where it is an own one. Someone else may have renamed or removed it
// meanwhile, or mounted another directory there.
func (w *fileWriter) current() (*os.File, error) {
	for range 10 {
		f := w.file.Load()
		if f == nil {
			var err error
			if f, err = w.open(); err != nil {
				return nil, err
			}
			w.file.Store(f)
		}
		if w.own {
			if err := lockFile(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
				return nil, err
			}
		}
		if w.isAtPath(f) {
			return f, nil
		}
		w.close()
	}
	return nil, fmt.Errorf("%s is another file each time it is opened", w.options.Path)
}

func (w *fileWriter) isAtPath(f *os.File) bool {
	there, err := os.Stat(w.options.Path)
	if err != nil {
		return false
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(there, opened)
}

func (w *fileWriter) open() (*os.File, error) {
	info, err := os.Lstat(w.options.Path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory; name a file in it", w.options.Path)
	}
	w.own = err != nil || info.Mode().IsRegular()
	flags := os.O_WRONLY | syscall.O_NONBLOCK // opening a pipe that nobody reads fails instead of waiting
	if w.own {
		flags = os.O_RDWR // to look at its end
	}
	f, openErr := os.OpenFile(w.options.Path, flags|os.O_APPEND|os.O_CREATE, w.mode)
	if openErr == nil && err != nil { // it was not there
		openErr = w.syncDirectory()
	}
	if openErr != nil && f != nil {
		_ = f.Close() // nothing was written to it
	}
	return f, openErr
}

// lockFile does what how says. A filesystem without locks is one for a single writer.
func lockFile(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = syscall.Flock(int(fd), how); !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	})
	switch {
	case err != nil:
		return err
	case errors.Is(failed, syscall.EWOULDBLOCK):
		return fmt.Errorf("%s is locked by another process that writes to it", f.Name())
	case errors.Is(failed, syscall.ENOSYS), errors.Is(failed, syscall.ENOTSUP), errors.Is(failed, syscall.EINVAL):
		return nil
	}
	return failed
}

// ownLine is how each line begins.
var ownLine = func() []byte {
	line := (&record.Record{}).AppendJSON(nil)
	return line[:bytes.IndexByte(line, ':')+2]
}()

// repair makes the file end with a whole line, and gives its size. What a crash has left of a line of ours is cut off: it
// was not acknowledged, and comes again. What anyone else has left gets an end.
func (w *fileWriter) repair(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	start, head, err := lastLine(f, size)
	if err != nil || start == size {
		return size, err
	}
	if len(head) > 0 && (bytes.HasPrefix(head, ownLine) || bytes.HasPrefix(ownLine, head)) {
		w.log.Warn("the file's last line was torn by a crash; it is cut off, and comes again", "path", w.options.Path, "bytes", size-start)
		return start, f.Truncate(start)
	}
	n, err := f.Write([]byte{'\n'})
	return size + int64(n), err
}

// lastLine says where the line that has no end begins, at size where there is none, and with what. One that is longer than
// fileMaxTail is none of ours, whatever it begins with.
func lastLine(f io.ReaderAt, size int64) (start int64, head []byte, err error) {
	var chunk [64 << 10]byte
	for start = size; start > 0 && size-start < fileMaxTail; {
		n := min(start, int64(len(chunk)))
		if start == size {
			n = 1 // nearly always it is a line's end
		}
		piece := chunk[:n]
		if _, err := f.ReadAt(piece, start-n); err != nil {
			return 0, nil, err
		}
		if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
			start -= n - int64(i) - 1
			break
		}
		start -= n
	}
	if start == size || size-start >= fileMaxTail {
		return start, nil, nil
	}
	head = make([]byte, min(size-start, int64(len(ownLine))))
	_, err = f.ReadAt(head, start)
	return start, head, err
}

// rotate renames the files, each to the next number, and opens a new one. The oldest goes. A crash in between leaves a
// number without a file, which the next rotation closes.
func (w *fileWriter) rotate() (*os.File, error) {
	path := func(i int) string {
		if i == 0 {
			return w.options.Path
		}
		return w.options.Path + "." + strconv.Itoa(i)
	}
	oldest := w.options.MaxFiles - 1
	for i := oldest; i <= fileMaxKept; i++ { // more than one where max_files was more
		if err := os.Remove(path(i)); err != nil && i > oldest {
			break
		}
	}
	for i := oldest - 1; i >= 0; i-- {
		if err := os.Rename(path(i), path(i+1)); err != nil && (i == 0 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("max_file_bytes: %w", err)
		}
	}
	w.close()
	f, err := w.current()
	if err == nil && !w.own {
		err = fmt.Errorf("%s became something else while it was rotated", w.options.Path)
	}
	if err != nil {
		return nil, err
	}
	return f, w.syncDirectory()
}

// syncDirectory makes the names of the files last.
func (w *fileWriter) syncDirectory() error {
	if w.options.Fsync != "always" {
		return nil
	}
	d, err := os.Open(filepath.Dir(w.options.Path))
	if err != nil {
		return err
	}
	return errors.Join(ignoreUnsupported(d.Sync()), d.Close())
}

// ignoreUnsupported passes over the filesystems whose directories can't be synced.
func ignoreUnsupported(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
