package main

import "strings"

// hints are what a newcomer can do about an error, by a part of its text: most of it was written by other programs.
var hints = []struct{ part, text string }{
	{"no space left on device", "The disk is full. The demo needs about 500 MB in the folder for temporary files (TMPDIR names\n" +
		"another one), and the first time about 4 GB in Go's build cache (GOCACHE names another one)."},
	{"disk quota exceeded", "Your share of the disk is used up: TMPDIR and GOCACHE name other folders."},
	{"failed to initialize build cache", "Go can't use its build cache: set GOCACHE to a folder that you may write."},
	{"GOCACHE is not defined", "Go has no folder for its build cache: set GOCACHE (or HOME) to a folder that you may write."},
	{"read-only file system", "A folder can't be written: TMPDIR names another one for temporary files, GOCACHE for Go's build cache,\n" +
		"BATON_CACHE for the Kubernetes that is built once."},
	{`"go": executable file not found`, "Go is not on PATH. Go 1.26 or later is all that the demo needs: https://go.dev/dl"},
	{"no free loopback port", "The demo needs about ten free ports of 127.0.0.1 between 18000 and 32000."},
	{"address already in use", "Another program took a port of 127.0.0.1 between its choice and its use: just try again."},
	{"cannot assign requested address", "The loopback interface has no 127.0.0.1: in a container, `ip link set lo up`\n" +
		"may be what is missing."},
	{"exec format error", "KUBEBUILDER_ASSETS or BATON_BINARY names programs for another kind of machine: unset it."},
	{"has no executable", "Unset KUBEBUILDER_ASSETS and `make demo` builds what it needs."},
	{"too many open files", "The limit of open files is too low: `ulimit -n 1024` raises it."},
	{"cannot allocate memory", "There is not enough memory: the demo needs about 1 GB, the first build of Kubernetes about 4 GB."},
	{"permission denied", "A folder can't be written: TMPDIR names another one for temporary files, GOCACHE for Go's build cache,\n" +
		"BATON_CACHE for the Kubernetes that is built once."},
	{"making a folder for child processes", "Temporary files go to the folder that TMPDIR names: it has to exist, and\n" +
		"you have to be able to write there."},
}

// explain is an error as a newcomer should see it. Where it is known what can be done, that follows; of an error with
// the long log of another program only the lines that tell are left then.
func explain(err error) string {
	text := err.Error()
	for _, h := range hints {
		if strings.Contains(text, h.part) {
			return telling(text, h.part) + "\n\n" + h.text
		}
	}
	return text
}

// longest is how much of a line is left.
const longest = 300

// telling are the first line and the first one with part in it.
func telling(text, part string) string {
	lines := strings.Split(text, "\n")
	told := cut(lines[0], longest)
	if strings.Contains(lines[0], part) {
		return told
	}
	for _, l := range lines[1:] {
		if strings.Contains(l, part) {
			return told + "\n" + cut(l, longest)
		}
	}
	return told
}
