package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	// CPU is that of all its threads, since it began.
	CPU time.Duration
	// Resident is its memory now, in MiB; Top the most since [ForgetTop].
	Resident, Top int
}

// ticks is the unit of times in /proc (USER_HZ, which is 100 on all that Go runs on).
const ticks = 100

// UsageOf reads from /proc what a process has used.
func UsageOf(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("reading what the process has used: %w", err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var u Usage
	for _, field := range fields[11:13] { // utime, stime (proc(5), 14 and 15)
		n, err := strconv.Atoi(field)
		if err != nil {
			return Usage{}, fmt.Errorf("reading what the process has used: %w", err)
		}
		u.CPU += time.Duration(n) * time.Second / ticks
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("reading what the process has used: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			u.Resident = kib / 1024
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			u.Top = kib / 1024
		}
	}
	return u, nil
}

// ForgetTop has the most memory be counted anew (proc(5), clear_refs).
func ForgetTop(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("counting the most memory anew: %w", err)
	}
	return nil
}
