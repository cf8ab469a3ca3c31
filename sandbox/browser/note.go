package browser

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// note takes an event of the tab.
func (t *Tab) note(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		t.addresses[e.RequestID] = e.Request.URL
		t.notes.Requests = append(t.notes.Requests, e.Request.URL)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && e.Type != network.ResourceTypeDocument {
			t.notes.Failed = append(t.notes.Failed, fmt.Sprint(e.Response.URL, ": status ", e.Response.Status))
		}
	case *network.EventLoadingFailed:
		t.notes.Failed = append(t.notes.Failed, fmt.Sprint(t.addresses[e.RequestID], ": ", e.ErrorText, e.BlockedReason))
	case *log.EventEntryAdded:
		// Those of the network are in Failed; it has one for each page that is not found, too.
		if e.Entry.Source != log.EntrySourceNetwork {
			t.complain("%s: %s: %s", e.Entry.Source, e.Entry.Level, e.Entry.Text)
		}
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, arg := range e.Args {
			words = append(words, strings.TrimSpace(string(arg.Value)+" "+arg.Description))
		}
		t.complain("console.%s: %s", e.Type, strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		t.complain("exception: %s", e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		details, err := json.Marshal(e.Issue.Details)
		if err != nil {
			details = []byte(err.Error())
		}
		t.complain("%s: %s", e.Issue.Code, details)
	case *page.EventJavascriptDialogOpening:
		t.notes.Dialogs = append(t.notes.Dialogs, e.Message)
		t.answering.Go(func() { // an open one stops the page; to answer here would stop the tab
			_, _ = chromedp.Call(t.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false})
		})
	}
}

// complain notes a complaint; t.mu is held.
func (t *Tab) complain(format string, args ...any) {
	t.notes.Complaints = append(t.notes.Complaints, fmt.Sprintf(format, args...))
}
