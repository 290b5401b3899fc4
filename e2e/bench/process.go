package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on every platform that Go knows.
const tick = 10 * time.Millisecond

// cpu is the processor time that a process has used so far.
func cpu(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading processor times (needs Linux): %w", err)
	}
	return parseStat(string(b))
}

// parseStat reads utime and stime, fields 14 and 15. The second field, a name in parentheses, may hold anything.
func parseStat(stat string) (time.Duration, error) {
	i := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[i+1:])
	if i < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("processor times: %q is not as expected", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("processor times: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// memory is what a process has in memory, in megabytes of 10^6 bytes, and its most so far.
type memory struct{ now, peak float64 }

func rss(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("reading memory (needs Linux): %w", err)
	}
	return parseStatus(string(b))
}

func parseStatus(status string) (memory, error) {
	now, err := megabytes(status, "VmRSS:")
	peak, err2 := megabytes(status, "VmHWM:")
	return memory{now, peak}, errors.Join(err, err2)
}

func megabytes(status, key string) (float64, error) {
	_, rest, ok := strings.Cut(status, key)
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("memory: no %s in kB", key)
	}
	n, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, fmt.Errorf("memory: %s %w", key, err)
	}
	return n * 1024 / 1e6, nil
}
