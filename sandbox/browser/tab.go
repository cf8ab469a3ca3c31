package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// actBound is the longest that one thing that is done in a tab may take.
const actBound = 30 * time.Second

// Keys that [Tab.Press] presses.
const (
	TabKey = kb.Tab
	Enter  = kb.Enter
	Space  = " "
)

// Tab is a tab of a browser. Its methods are for one goroutine at a time.
type Tab struct {
	ctx context.Context
	end context.CancelFunc

	answering sync.WaitGroup // the answers to dialogs

	mu        sync.Mutex // guards what is below, which the browser adds to
	notes     Notes
	addresses map[network.RequestID]string // of the requests
}

// Notes are what a tab has noted since the last page was visited or [Tab.Forget] was called.
type Notes struct {
	// Requests are the addresses that were asked for, in order.
	Requests []string
	// Failed are those of which nothing or an error came, with what came. The page itself is none of them where
	// the server answered.
	Failed []string
	// Complaints are the messages of the console, what the Content-Security-Policy stopped, exceptions, and what else
	// the browser's tools for developers would list as an issue.
	Complaints []string
	// Dialogs are the texts of the dialogs that the page opened. None of them stays open.
	Dialogs []string
}

// Look says what a tab looks like.
type Look struct {
	// Width and Height are those of the window, in CSS pixels.
	Width, Height int
	// Phone says that it is a phone, which has fingers and no mouse.
	Phone bool
	// Dark says that dark colours are wanted.
	Dark bool
	// Print says that the page is printed.
	Print bool
}

// Open opens a tab. Close it.
func (b *Browser) Open() (*Tab, error) {
	ctx, end := chromedp.NewContext(b.ctx)
	t := &Tab{ctx: ctx, end: end, addresses: make(map[network.RequestID]string)}
	err := chromedp.Listen(ctx, t.note) // which opens it
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, audits.Enable, cdp.Empty{})
	}
	if err == nil { // each tab believes that it is the one in front
		_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	}
	if err != nil {
		end()
		return nil, fmt.Errorf("opening a tab: %w", err)
	}
	return t, nil
}

// Close closes the tab.
func (t *Tab) Close() {
	t.end()
	t.answering.Wait()
}

// Look makes the tab look so, from now on.
func (t *Tab) Look(l Look) error {
	theme, media := "light", ""
	if l.Dark {
		theme = "dark"
	}
	if l.Print {
		media = "print"
	}
	_, err := chromedp.Call(t.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(l.Width), Height: int64(l.Height), DeviceScaleFactor: 1, Mobile: l.Phone,
	})
	if err == nil {
		_, err = chromedp.Call(t.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.Phone})
	}
	if err == nil {
		_, err = chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
	}
	if err != nil {
		return fmt.Errorf("changing what a tab looks like: %w", err)
	}
	return nil
}

// Visit goes to an address and returns the status that the server answered, when all of the page has come.
func (t *Tab) Visit(address string) (int, error) {
	t.Forget()
	return t.load("visiting "+address, chromedp.Navigate(address))
}

// Reload loads the page again and returns its status.
func (t *Tab) Reload() (int, error) { return t.load("reloading", chromedp.Reload()) }

// Back goes back to the page before and returns its status.
func (t *Tab) Back() (int, error) { return t.load("going back", chromedp.NavigateBack()) }

// Follow clicks on the element that a CSS selector finds first, and returns the status of the page that comes.
func (t *Tab) Follow(selector string) (int, error) {
	return t.load("clicking on "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Submit presses a key from which another page comes, and returns its status.
func (t *Tab) Submit(key string) (int, error) {
	return t.load("pressing a key", chromedp.KeyEvent(key))
}

// load does something from which a page comes.
func (t *Tab) load(what string, action chromedp.Action[chromedp.Void]) (int, error) {
	ctx, cancel := context.WithTimeout(t.ctx, actBound)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	if answer == nil {
		return 0, fmt.Errorf("%s: no answer", what)
	}
	return int(answer.Status), nil
}

// Click clicks on the element that a CSS selector finds first, from which no other page comes.
func (t *Tab) Click(selector string) error {
	return t.do("clicking on "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Type writes a text into the field that a CSS selector finds first.
func (t *Tab) Type(selector, text string) error {
	return t.do("writing into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Choose chooses the option with a text of the list that a CSS selector finds first, by typing it.
func (t *Tab) Choose(selector, text string) error {
	return t.do("choosing in "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Press presses a key, from which no other page comes.
func (t *Tab) Press(key string) error { return t.do("pressing a key", chromedp.KeyEvent(key)) }

func (t *Tab) do(what string, action chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(t.ctx, actBound)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Evaluate evaluates an expression of JavaScript in the page, waits where it is a promise, and reads the value as JSON
// into into, where that is not nil. The page's Content-Security-Policy does not hold for it.
func (t *Tab) Evaluate(expression string, into any) error {
	ctx, cancel := context.WithTimeout(t.ctx, actBound)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return fmt.Errorf("evaluating in the page: %w", err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("evaluating in the page: %w", err)
	}
	return nil
}

// Shot returns a picture of the page as a PNG, from the top down to most CSS pixels at the most, each of which is scale
// pixels of the picture wide and high.
func (t *Tab) Shot(most, scale int) ([]byte, error) {
	var size struct{ Width, Height float64 }
	if err := t.Evaluate(`({Width: innerWidth, Height: document.scrollingElement.scrollHeight})`, &size); err != nil {
		return nil, err
	}
	beyond := true
	shot, err := chromedp.Call(t.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond,
		Clip:                  &page.Viewport{Width: size.Width, Height: min(size.Height, float64(most)), Scale: float64(scale)},
	})
	if err != nil {
		return nil, fmt.Errorf("taking a picture: %w", err)
	}
	return shot.Data, nil
}

// Notes returns what was noted.
func (t *Tab) Notes() Notes {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Notes{
		Requests:   slices.Clone(t.notes.Requests),
		Failed:     slices.Clone(t.notes.Failed),
		Complaints: slices.Clone(t.notes.Complaints),
		Dialogs:    slices.Clone(t.notes.Dialogs),
	}
}

// Forget drops what was noted.
func (t *Tab) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = Notes{}
	clear(t.addresses)
}
