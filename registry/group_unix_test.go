//go:build unix

package registry

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestHelperLeavesNothing ends what a helper has started, when it is given up and when it
// has answered.
func TestHelperLeavesNothing(t *testing.T) {
	for name, then := range map[string]string{
		"given up": `wait`,
		"answered": `echo '{"Username":"ada","Secret":"secret"}'`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := program(t, "parent", `
exec 3> "$0.alive"
sleep 600 >&3 2>&1 &
echo started >&3
exec 3>&-
`+then)
			alive := filepath.Join(dir, helperPrefix+"parent.alive")
			if err := syscall.Mkfifo(alive, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			ended := make(chan error, 1)
			go func() {
				file, err := os.Open(alive) // until the helper opens it
				if err != nil {
					ended <- err
					return
				}
				defer file.Close()
				_, err = io.ReadFull(file, make([]byte, len("started\n")))
				if name == "given up" {
					giveUp()
				}
				if err == nil {
					_, err = file.Read(make([]byte, 1)) // until nobody has it open
				}
				ended <- err
			}()
			found, err := docker(t, `{"credsStore":"parent"}`).Lookup(ctx, "quay.io/app")
			if name == "given up" && !errors.Is(err, context.Canceled) || name == "answered" && (err != nil || len(found) != 1) {
				t.Errorf("got %d, %v", len(found), err)
			}
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Errorf("what it has started is not ended: %v", err)
			}
		})
	}
}
