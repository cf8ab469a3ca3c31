package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// signalOne signals the process itself. One that has ended is no error.
func signalOne(run *execution, signal syscall.Signal) error {
	if err := run.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s: %w", signal, err)
	}
	return nil
}

// signalTree signals the process and all that descend from it. A signal to the
// process group would not do: each worker of Postgres leads one of its own.
func signalTree(run *execution, signal syscall.Signal) error {
	children, err := descendants(run.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := signalOne(run, signal); err != nil {
		return err
	}
	for _, pid := range children {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("sending %s to child process %d: %w", signal, pid, err)
		}
	}
	return nil
}

// awaitFrozen waits until no thread of the process and of all that descend from
// it runs any more: kill returns when the signal is queued, and a thread on
// another core may still answer a request that comes in then.
func awaitFrozen(run *execution, bound time.Duration) error {
	for end := time.Now().Add(bound); ; time.Sleep(frozenEvery) {
		pids, err := descendants(run.cmd.Process.Pid)
		if err != nil {
			return err
		}
		moving := 0
		for _, pid := range append(pids, run.cmd.Process.Pid) {
			moving += movingThreads(pid)
		}
		if moving == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d threads still run %s after SIGSTOP", moving, bound)
		}
	}
}

// movingThreads returns how many threads of a process are neither stopped nor
// at their end; 0 for a process that is gone.
func movingThreads(pid int) int {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
	if err != nil {
		return 0 // the pattern is well-formed
	}
	moving := 0
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 0 && !strings.Contains("TtZXx", fields[0]) {
			moving++
		}
	}
	return moving
}

// killTree ends the process and all that descend from it by SIGKILL and waits
// for the latter: Postgres does not start again while one of its workers of
// before is alive.
func killTree(run *execution) error {
	if err := signalOne(run, syscall.SIGSTOP); err != nil { // it must make no more of them
		return err
	}
	children, err := descendants(run.cmd.Process.Pid)
	if err != nil {
		return err
	}
	var handles []int // these keep their meaning when a process id is used again
	defer func() {
		for _, handle := range handles {
			unix.Close(handle)
		}
	}()
	for _, pid := range children {
		handle, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return fmt.Errorf("watching child process %d: %w", pid, err)
		}
		handles = append(handles, handle)
	}
	if err := signalOne(run, syscall.SIGKILL); err != nil {
		return err
	}
	for _, handle := range handles {
		if err := unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("killing a child process: %w", err)
		}
	}
	for _, handle := range handles {
		if err := awaitEnd(handle, stopBound); err != nil {
			return err
		}
	}
	return nil
}

// awaitEnd waits until the process of a handle has ended.
func awaitEnd(handle int, bound time.Duration) error {
	polled := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(polled, int(bound.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for a child process: %w", err)
		case n == 0:
			return fmt.Errorf("a child process did not end within %s", bound)
		}
		return nil
	}
}

// descendants returns the ids of all processes below pid, parents first.
func descendants(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, fmt.Errorf("reading process ids: %w", err)
		}
		// The name, in parentheses, may hold spaces; after it: state, parent.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		children[parent] = append(children[parent], id)
	}
	var below []int
	for next := children[pid]; len(next) > 0; next = next[1:] {
		below = append(below, next[0])
		next = append(next, children[next[0]]...)
	}
	return below, nil
}
