// Command runc is runc, on a host that lacks capabilities: from what it is asked to run it takes those that this
// process could not give, then it becomes the runc it was built for.
//
// Without it a privileged container is refused altogether: the runtime asks for every capability that the kernel
// knows. A lower out-of-memory score needs CAP_SYS_RESOURCE too.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// runc is the path of the real one, set at link time.
var runc = "/usr/bin/runc"

func main() {
	if err := adapt(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc without the host's missing capabilities:", err)
		os.Exit(1)
	}
	err := syscall.Exec(runc, append([]string{runc}, os.Args[1:]...), os.Environ())
	fmt.Fprintf(os.Stderr, "%s: %v\n", runc, err)
	os.Exit(1)
}

// adapt rewrites the file that a command line of runc reads its process from, if it reads one.
func adapt(args []string) error {
	path, keys := document(args)
	if path == "" {
		return nil
	}
	held, err := bounding("/proc/self/status")
	if err != nil {
		return err
	}
	return rewrite(path, keys, held)
}

// document is the file in which a command line of runc describes a process, and the keys under which it is found there.
func document(args []string) (path string, keys []string) {
	command, rest := split(args)
	switch command {
	case "create", "run", "restore":
		bundle := option(rest, "--bundle", "-b")
		return filepath.Join(bundle, "config.json"), []string{"process"}
	case "exec":
		return option(rest, "--process", "-p"), nil
	}
	return "", nil
}

// split finds the command behind runc's own options, of which these have a value as the next word.
func split(args []string) (command string, rest []string) {
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--root", "--log", "--log-format", "--criu", "--rootless":
			i++
		default:
			if !strings.HasPrefix(args[i], "-") {
				return args[i], args[i+1:]
			}
		}
	}
	return "", nil
}

// option is the value of an option, "" where it is not given.
func option(args []string, names ...string) string {
	for i, arg := range args {
		for _, name := range names {
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
			if value, found := strings.CutPrefix(arg, name+"="); found {
				return value
			}
		}
	}
	return ""
}
