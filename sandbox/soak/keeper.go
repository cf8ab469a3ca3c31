package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

const (
	// restartPause is how long the daemon stays away before it is started again.
	restartPause = time.Second
	// lookEvery is how often it is looked at whether it still runs.
	lookEvery = 100 * time.Millisecond
	// endBound is how long it may take to end in order: what the manifest gives it (terminationGracePeriodSeconds).
	endBound = 40 * time.Second
	// unwritten is how long before its end the daemon may have been told by Slack that a message is accepted without
	// having it written down.
	unwritten = 3 * time.Second
)

// keeper starts the daemon again when it ends, as Kubernetes does, and notes each end.
type keeper struct {
	daemon  *stage.Daemon
	full    *sandbox.Process // the daemon while its log is on a full disk; nil: not now
	journal *journal

	mu      sync.Mutex
	process *sandbox.Process
	wanted  bool      // it is to be started again
	trouble time.Time // since when the fault in force may keep it from writing; zero: it does not
	strange []string  // ends that nothing explains
}

// keep starts the daemon again whenever it has ended by itself, until ctx ends.
func (k *keeper) keep(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		k.mu.Lock()
		process, ended := k.process, k.wanted && k.process.PID() == 0
		k.mu.Unlock()
		if !ended {
			continue
		}
		k.endedItself(process)
		if err := k.start(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// endedItself notes an end that nobody asked for.
func (k *keeper) endedItself(process *sandbox.Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	since := k.trouble
	if since.IsZero() {
		k.strange = append(k.strange, fmt.Sprintf("the daemon ended by itself at %s: its log ends with:\n%s",
			now.Format(time.TimeOnly), process.Tail(20)))
		since = now
	}
	k.journal.stop(ended(since, now))
}

// ended is a stop of the daemon, which ended before now: what it sent may arrive a little later, and the next one does
// not begin at once.
func ended(since, now time.Time) stop {
	return stop{since: since.Add(-unwritten), at: now.Add(restartPause)}
}

// start starts the daemon after a pause.
func (k *keeper) start(ctx context.Context) error {
	select {
	case <-time.After(restartPause):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = true
	return k.process.Start(ctx)
}

// kill ends the daemon at once, and has it stay away.
func (k *keeper) kill() error {
	k.unwant()
	err := k.process.Kill()
	now := time.Now()
	k.journal.stop(ended(now, now))
	return err
}

// end ends the daemon in order, and has it stay away.
func (k *keeper) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, endBound, fmt.Errorf("it has not ended within %s", endBound))
	defer cancel()
	k.unwant()
	if err := k.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := k.process.Wait(ctx); err != nil {
		return fmt.Errorf("ending the daemon in order: %w", err)
	}
	return nil
}

func (k *keeper) unwant() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = false
}

// suffers says since when a fault is in force that may end the daemon; the zero time says that it is over.
func (k *keeper) suffers(since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trouble = since
}

// fill ends the daemon in order, and starts it with a log that is on a full disk.
func (k *keeper) fill(ctx context.Context, s *stage.Stage) error {
	if err := k.end(ctx); err != nil {
		return err
	}
	if k.full != nil {
		k.use(k.full)
		return k.start(ctx)
	}
	var err error
	k.full, err = s.StartDaemon(ctx, "/bin/sh", []string{
		"-c", `exec "$0" "$@" >/dev/full 2>&1`, s.Binary(), "--config", filepath.Join(s.Dir, k.daemon.Name+".yaml"),
	}, []string{"SSL_CERT_FILE=" + filepath.Join(s.Dir, "gate-ca.pem")})
	if err != nil {
		return err
	}
	k.use(k.full)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = true
	return nil
}

// empty ends the daemon whose disk is full in order, and starts that with a log again.
func (k *keeper) empty(ctx context.Context) error {
	if err := k.end(ctx); err != nil {
		return err
	}
	k.use(k.daemon.Process)
	return k.start(ctx)
}

// use makes a process the daemon.
func (k *keeper) use(process *sandbox.Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.process = process
}

// ends are the ends that nothing explains.
func (k *keeper) ends() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.strange
}

// badLog are what no log may hold: the race detector's words, a crash, a webhook.
var badLog = []string{"DATA RACE", "panic:", "fatal error:", "/services/T00000000"}

// checkLog looks through the log for what must not be in it. That the Lease is lost is an error which is expected; so
// are those of client-go, which calls it one when a request is not answered.
func checkLog(text string) error {
	for line := range strings.Lines(text) {
		for _, bad := range badLog {
			if strings.Contains(line, bad) {
				return fmt.Errorf("the daemon's log has %q: %s", bad, line)
			}
		}
		expected := strings.Contains(line, " from=client-go ") || strings.Contains(line, "the Lease is lost")
		if strings.Contains(line, "level=ERROR") && !expected {
			return fmt.Errorf("the daemon's log has an error: %s", line)
		}
	}
	return nil
}
