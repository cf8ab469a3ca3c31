package watcher

import (
	"errors"
	"strings"
	"testing"
)

// wordyError is one with what Clair said, which everybody else must not see.
type wordyError struct{ error }

func (wordyError) Detail() string {
	return "https://store.example.com/layer?X-Amz-Signature=0123456789abcdef"
}

// What a Clair says can quote addresses with signatures and what a registry answered: it is in the log at debug alone.
func TestClairWordsAreForDebugging(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].set(func(c *fakeClair) {
			c.fail = func(call string) error {
				if call == "report" {
					return wordyError{errors.New("fetching the vulnerability report")}
				}
				return nil
			}
		})
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled + lastRetry)
		said := 0
		for line := range strings.Lines(r.log.String()) {
			if !strings.Contains(line, "X-Amz-Signature") {
				continue
			}
			said++
			if !strings.Contains(line, "level=DEBUG") {
				t.Errorf("not for everybody: %s", line)
			}
		}
		if said == 0 {
			t.Error("nobody can find out what Clair said")
		}
		for _, m := range r.slack.all() {
			if strings.Contains(m.json, "Amz") {
				t.Errorf("a message has it: %s", m.json)
			}
		}
		if len(r.slack.all()) == 0 {
			t.Error("nobody was told that the image cannot be scanned")
		}
	})
}
