package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// names are the capabilities by their numbers, as in linux/capability.h.
var names = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
	MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// capabilities are a set of them.
type capabilities uint64

func (c capabilities) has(name string) bool {
	number := slices.Index(names, strings.TrimPrefix(name, "CAP_"))
	// One that this list does not know is left to runc.
	return number < 0 || c&(1<<number) != 0
}

// bounding reads a process's bounding set: what it has not got there, no process below it can get.
func bounding(status string) (capabilities, error) {
	content, err := os.ReadFile(status)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, found := strings.CutPrefix(line, "CapBnd:"); found {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return capabilities(set), err
		}
	}
	return 0, fmt.Errorf("%s has no line CapBnd", status)
}

// rewrite takes from the process in a file what needs capabilities that are not held. The file stays as it is where
// there is nothing to take.
func rewrite(path string, keys []string, held capabilities) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := reduce(content, keys, held)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(content, changed) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, changed, info.Mode().Perm())
}

func reduce(content []byte, keys []string, held capabilities) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	// Numbers stay as they are written: a 64-bit one is more than a float64 holds.
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	process := document
	for _, key := range keys {
		process, _ = process[key].(map[string]any)
	}
	if !limit(process, held) {
		return content, nil
	}
	return json.Marshal(document)
}

// limit says whether it has changed the process.
func limit(process map[string]any, held capabilities) (changed bool) {
	if score, _ := process["oomScoreAdj"].(json.Number); strings.HasPrefix(score.String(), "-") && !held.has("CAP_SYS_RESOURCE") {
		delete(process, "oomScoreAdj")
		changed = true
	}
	sets, _ := process["capabilities"].(map[string]any)
	for kind, value := range sets {
		list, _ := value.([]any)
		kept := slices.DeleteFunc(slices.Clone(list), func(capability any) bool {
			name, _ := capability.(string)
			return !held.has(name)
		})
		if len(kept) != len(list) {
			sets[kind] = kept
			changed = true
		}
	}
	return changed
}
