package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	readyBound  = 90 * time.Second      // the longest a server may take until it answers
	readyEvery  = 25 * time.Millisecond // how often it is asked
	probeBound  = 2 * time.Second       // the longest that one such question may take
	stopBound   = 5 * time.Second       // the longest it may take to end before it is killed
	frozenEvery = time.Millisecond      // how often a paused process is looked at until all its threads stand still
	tailLines   = 30                    // how much of its log an error carries
)

// spec says how a process is run.
type spec struct {
	name string
	path string
	args []string
	env  []string // beside PATH, HOME and TMPDIR of this process

	dir        string              // the working directory; empty: a folder of the process's name
	credential *syscall.Credential // the user it runs as; nil: ours
	stopSignal syscall.Signal      // asks it to end in order; 0: SIGTERM
	dieSignal  syscall.Signal      // sent by the kernel when we are gone; 0: SIGKILL

	// ready says whether the process of that id answers; nil: it need not.
	ready func(ctx context.Context, pid int) error
}

// Process is a child process that can be ended, frozen and started again with
// the same address and data. Its methods may be called concurrently.
type Process struct {
	name string
	spec spec
	logs string
	log  func(format string, args ...any)

	turn sync.Mutex // held while the process is started or ended

	mu      sync.Mutex // guards what is below
	run     *execution // nil before the first start
	retired bool       // it must not be started again
}

// execution is one life of a process.
type execution struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // what Wait returned; set before ended is closed
	asked bool          // it was told to end; guarded by Process.mu
}

func newProcess(dir string, sp spec, log func(string, ...any)) (*Process, error) {
	if sp.dir == "" {
		sp.dir = filepath.Join(dir, sp.name)
		if err := os.MkdirAll(sp.dir, 0o700); err != nil {
			return nil, fmt.Errorf("preparing %s: %w", sp.name, err)
		}
	}
	return &Process{name: sp.name, spec: sp, logs: filepath.Join(dir, sp.name+".log"), log: log}, nil
}

// Name returns the name of the process: that of its part, or "daemon".
func (p *Process) Name() string { return p.name }

// LogPath returns the file that holds what the process wrote in all its lives.
func (p *Process) LogPath() string { return p.logs }

// PID returns the process's id, or 0 while it does not run.
func (p *Process) PID() int {
	run := p.running()
	if run == nil {
		return 0
	}
	return run.cmd.Process.Pid
}

// running returns the present life, or nil.
func (p *Process) running() *execution {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	select {
	case <-p.run.ended:
		return nil
	default:
		return p.run
	}
}

// Start runs the process and waits until it answers, at most until ctx ends. It
// is for a process that was ended; one that runs is an error. ctx does not end
// the process later.
func (p *Process) Start(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.start(ctx)
}

func (p *Process) start(ctx context.Context) error {
	if p.running() != nil {
		return fmt.Errorf("starting %s: it is running already", p.name)
	}
	run, err := p.launch()
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	if p.spec.ready == nil {
		return nil
	}
	if err := p.awaitReady(ctx, run); err != nil {
		err = fmt.Errorf("starting %s: %w; its log ends with:\n%s", p.name, err, p.Tail(tailLines))
		return errors.Join(err, p.end(run, syscall.SIGKILL))
	}
	return nil
}

// launch starts one life of the process in a goroutine that keeps its thread
// for as long as the process lives: the kernel sends the parent-death signal
// when the thread that made the child ends, not only when the process does.
func (p *Process) launch() (*execution, error) {
	logs, err := os.OpenFile(p.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logs.Close()

	cmd := exec.Command(p.spec.path, p.spec.args...)
	cmd.Dir, cmd.Env = p.spec.dir, environment(p.spec.env)
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = attributes(p.spec)
	run := &execution{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		return nil, errors.New("its sandbox has been stopped")
	}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.finish(run, cmd.Wait())
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.run = run
	return run, nil
}

// finish records the end of a life and tells of one that nobody asked for.
func (p *Process) finish(run *execution, err error) {
	p.mu.Lock()
	asked := run.asked
	p.mu.Unlock()
	if !asked { // told before anybody who waits goes on
		p.log("%s ended by itself: %s", p.name, run.cmd.ProcessState)
	}
	run.err = err
	close(run.ended)
}

// attributes are those of each child: a group of its own, so that a Ctrl-C in
// the terminal reaches only us, who end the children in order; and a signal
// from the kernel when we are gone.
func attributes(sp spec) *syscall.SysProcAttr {
	die := sp.dieSignal
	if die == 0 {
		die = syscall.SIGKILL
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: die, Credential: sp.credential}
}

// environment is as small as servers need: nothing of the user's shell may
// configure them.
func environment(env []string) []string {
	var base []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			base = append(base, name+"="+value)
		}
	}
	return append(base, env...) // of two values exec takes the last
}

// awaitReady asks until the process answers, ends, or takes too long.
func (p *Process) awaitReady(ctx context.Context, run *execution) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyBound, fmt.Errorf("no answer within %s", readyBound))
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-run.ended:
			return fmt.Errorf("it ended before it was ready: %s", run.cmd.ProcessState)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-tick.C:
		}
		if last = p.spec.ready(ctx, run.cmd.Process.Pid); last == nil {
			return nil
		}
	}
}

// Stop ends the process in order, kills it if that takes too long, and waits.
// It does nothing where the process does not run.
func (p *Process) Stop() error {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.stop()
}

func (p *Process) stop() error {
	signal := p.spec.stopSignal
	if signal == 0 {
		signal = syscall.SIGTERM
	}
	return p.end(p.running(), signal)
}

// Kill ends the process and all that descend from it by SIGKILL and waits. It
// does nothing where the process does not run.
func (p *Process) Kill() error { return p.end(p.running(), syscall.SIGKILL) }

// Restart stops the process if it runs and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := p.stop(); err != nil {
		return err
	}
	return p.start(ctx)
}

// retire stops the process for good. One that is just being started is killed
// rather than waited for.
func (p *Process) retire() error {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	if !p.turn.TryLock() {
		if err := p.Kill(); err != nil {
			return err
		}
		p.turn.Lock()
	}
	defer p.turn.Unlock()
	return p.stop()
}

// end sends a life the signal that ends it and waits, at last with SIGKILL.
func (p *Process) end(run *execution, signal syscall.Signal) error {
	if run == nil {
		return nil
	}
	p.mu.Lock()
	run.asked = true
	p.mu.Unlock()
	if signal != syscall.SIGKILL {
		if err := signalTree(run, syscall.SIGCONT); err != nil { // a frozen process cannot end in order
			return fmt.Errorf("ending %s: %w", p.name, err)
		}
		if err := signalOne(run, signal); err != nil {
			return fmt.Errorf("ending %s: %w", p.name, err)
		}
		late := time.NewTimer(stopBound)
		defer late.Stop()
		select {
		case <-run.ended:
			return nil
		case <-late.C:
			p.log("%s did not end within %s and is killed", p.name, stopBound)
		}
	}
	if err := killTree(run); err != nil {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-run.ended
	return nil
}

// Signal sends the process a signal and does not wait. It is an error where the
// process does not run.
func (p *Process) Signal(signal syscall.Signal) error {
	run, err := p.alive()
	if err != nil {
		return err
	}
	p.mu.Lock()
	run.asked = true
	p.mu.Unlock()
	return signalOne(run, signal)
}

// Interrupt sends SIGINT, as Ctrl-C does, and does not wait.
func (p *Process) Interrupt() error { return p.Signal(syscall.SIGINT) }

// Pause freezes the process and all that descend from it (SIGSTOP): it keeps
// its connections and answers nothing. A paused Postgres is the one process
// that outlives a SIGKILL of this process, until it is resumed.
func (p *Process) Pause() error {
	run, err := p.alive()
	if err != nil {
		return err
	}
	if err := signalTree(run, syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitFrozen(run, stopBound)
}

// Resume lets a paused process go on.
func (p *Process) Resume() error {
	run, err := p.alive()
	if err != nil {
		return err
	}
	return signalTree(run, syscall.SIGCONT)
}

func (p *Process) alive() (*execution, error) {
	if run := p.running(); run != nil {
		return run, nil
	}
	return nil, fmt.Errorf("%s does not run", p.name)
}

// Wait waits until the process has ended and returns how: nil for exit code 0,
// an [*exec.ExitError] otherwise, or the cause of ctx when that ends first.
func (p *Process) Wait(ctx context.Context) error {
	p.mu.Lock()
	run := p.run
	p.mu.Unlock()
	if run == nil {
		return fmt.Errorf("%s was never started", p.name)
	}
	select {
	case <-run.ended:
		return run.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", p.name, context.Cause(ctx))
	}
}

// Tail returns the last lines of the process's log, at most n of them.
func (p *Process) Tail(n int) string {
	text, err := tail(p.logs, n)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return text
}

// tail returns the last n lines of a file, of its last 64 KiB.
func tail(path string, n int) (string, error) {
	const most = 64 << 10
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	buffer := make([]byte, min(info.Size(), most))
	read, err := file.ReadAt(buffer, info.Size()-int64(len(buffer)))
	if err != nil && read < len(buffer) {
		return "", err
	}
	return lastLines(string(buffer), n), nil
}
