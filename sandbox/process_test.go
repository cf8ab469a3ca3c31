package sandbox

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// shell is a process that runs a script; it is ready when the script has made
// the file "ready" in its folder.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	dir := t.TempDir()
	process, err := newProcess(dir, spec{
		name: "shell", path: "/bin/sh", args: []string{"-c", script},
		ready: func(context.Context, int) error {
			_, err := os.Stat(filepath.Join(dir, "shell", "ready"))
			return err
		},
	}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.retire(); err != nil {
			t.Error(err)
		}
	})
	return process
}

func TestStartThatFails(t *testing.T) {
	process := shell(t, "echo no such luck; exit 3")
	err := process.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("got %v, want the exit code and the log", err)
	}
	var exit *exec.ExitError
	if err := process.Wait(t.Context()); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended by %v, want exit code 3", err)
	}
}

func TestStartThatIsGivenUp(t *testing.T) {
	process := shell(t, "exec sleep 1000")
	ctx, cancel := context.WithCancelCause(t.Context())
	impatience := errors.New("impatience")
	cancel(impatience)
	if err := process.Start(ctx); !errors.Is(err, impatience) {
		t.Errorf("got %v, want the cause", err)
	}
	if pid := process.PID(); pid != 0 {
		t.Errorf("process %d was left running", pid)
	}
}

func TestRetireWhileStarting(t *testing.T) {
	process := shell(t, "exec sleep 1000") // is never ready
	result := make(chan error, 1)
	go func() { result <- process.Start(t.Context()) }()
	if err := process.retire(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err == nil {
		t.Error("a retired process started well")
	}
	if pid := process.PID(); pid != 0 {
		t.Errorf("process %d was left running", pid)
	}
}

func TestStopOfAStubbornProcess(t *testing.T) {
	// It and its child refuse to end in order.
	process := shell(t, `trap '' TERM; sleep 1000 & echo $! > child; touch ready; wait; wait; sleep 1000`)
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(process.spec.dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	if !ended(t, child, 0) {
		t.Error("its child is still there")
	}
	if err := errors.Join(process.Stop(), process.Kill()); err != nil {
		t.Errorf("ending what has ended: %v", err)
	}
}

func TestStopOfAPausedProcess(t *testing.T) {
	process := shell(t, `trap 'echo bye; exit 0' TERM; touch ready; while true; do sleep 0.01; done`)
	if err := process.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := process.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(t.Context()); err != nil || process.Tail(1) != "bye" {
		t.Errorf("it ended by %v and last said %q, want an end in order", err, process.Tail(1))
	}
	for name, act := range map[string]func() error{
		"Pause": process.Pause, "Resume": process.Resume, "Interrupt": process.Interrupt,
		"Signal": func() error { return process.Signal(syscall.SIGHUP) },
	} {
		if err := act(); err == nil || err.Error() != "shell does not run" {
			t.Errorf("%s of what has ended: %v", name, err)
		}
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 100<<10)
	for _, test := range []struct {
		text string
		n    int
		want string
	}{
		{"", 3, ""},
		{"a\nb\nc\n", 2, "b\nc"},
		{"a\nb", 5, "a\nb"},
		{long + "\nlast\n", 1, "last"},
		{long, 1, long[:64<<10]},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := tail(path, test.n); err != nil || got != test.want {
			t.Errorf("the last %d of %.20q: %.20q, %v, want %.20q", test.n, test.text, got, err, test.want)
		}
	}
}
