// Package browser drives a headless Chromium and notes what a page asks for and complains about.
package browser

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/chromedp"
)

// endBound is the longest that Chromium may take to end in order.
const endBound = 5 * time.Second

// Browser is a Chromium with a profile of its own, which reaches 127.0.0.1 and nothing else. Close it.
type Browser struct {
	ctx context.Context
	end context.CancelFunc
}

// Start starts the Chromium at a path. What it keeps beside its profile goes to the folder home, which is not removed.
// It ends with ctx, or with this process, if it is not closed before.
func Start(ctx context.Context, path, home string) (*Browser, error) {
	allocator, endAllocator := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Env("HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home),
		// No name leads anywhere, and no proxy of this machine is asked.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-gpu", true),
		// A page that one goes back to is loaded again, as on a machine with little memory.
		chromedp.Flag("disable-back-forward-cache", true),
		// Letters are as wide everywhere, and scroll bars take no room.
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("hide-scrollbars", true),
	)...)
	first, endFirst := chromedp.NewContext(allocator)
	b := &Browser{ctx: first, end: func() { endFirst(); endAllocator() }}
	if err := chromedp.Do(first); err != nil { // which starts it
		b.end()
		return nil, fmt.Errorf("starting Chromium: %w", err)
	}
	return b, nil
}

// Close ends the browser with all its tabs and waits until its processes are gone.
func (b *Browser) Close() error {
	defer b.end()
	ctx, cancel := context.WithTimeout(b.ctx, endBound)
	defer cancel()
	if err := chromedp.Cancel(ctx); err != nil {
		return fmt.Errorf("ending Chromium: %w", err)
	}
	return nil
}
