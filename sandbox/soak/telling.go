package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// kind is what a message tells, as far as it matters here.
type kind string

const (
	// running: an image runs, and this is its report; also as a row of an inventory.
	running kind = "running"
	// disclosed: something became known about an image that runs.
	disclosed kind = "disclosed"
	// gone: an image runs no longer.
	gone kind = "gone"
	// unscanned: an image could not be scanned; scanned: it can be again.
	unscanned kind = "could not be scanned"
	scanned   kind = "scanned again"
)

// telling is one thing that a message tells of one image.
type telling struct {
	kind  kind
	image string
	// cve is what was disclosed; empty: nothing was.
	cve string
	// cause is why it could not be scanned, where the message is about nothing else; empty: not known.
	cause string
}

// letter is a message as a reader understands it.
type letter struct {
	slackstand.Message
	channel  string
	tellings []telling
	// more is how many vulnerabilities were disclosed in the image that it is about which it does not name.
	more  int
	about string
	// strange says why nothing can be concluded from it; empty: it was understood.
	strange string
}

// The names of images and vulnerabilities that the soak makes, wherever they stand in a message.
var (
	imageName = regexp.MustCompile(`fleet/app-\d{3}:1\.0`)
	cveName   = regexp.MustCompile(`CVE-2099-\d{4,}`)
	causeName = regexp.MustCompile(`could not be scanned: (.+)`)
)

// newly counts what is disclosed in one image; cutShort is in each list that does not name all that it is about.
var (
	newly    = regexp.MustCompile(`(\d+) newly disclosed`)
	cutShort = regexp.MustCompile(`and \d+ more|\d+ more with vulnerabilities|\d+ of \d+ images`)
)

// signs are the words by which a reader tells messages apart. The first that fits counts.
var signs = []struct {
	words string
	kind  kind
}{
	{"could not be scanned", unscanned},
	{"scanned again; before", scanned},
	{"no longer running", gone},
	{"newly disclosed", disclosed},
	{"now affects", disclosed},
	{"is running", running},
}

// read understands a message from nothing but its payload. What Slack shows of it is all that it goes by.
func read(m slackstand.Message) letter {
	l := letter{Message: m, channel: m.Path[strings.LastIndexByte(m.Path, '/')+1:]}
	var payload struct {
		Text        string
		Blocks      []any
		Attachments []struct{ Blocks []any }
	}
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		l.strange = fmt.Sprintf("it is no message: %v", err)
		return l
	}
	var rows, rest []string // what tables say, and all else
	blocks := payload.Blocks
	for _, a := range payload.Attachments {
		blocks = append(blocks, a.Blocks...)
	}
	for _, b := range blocks {
		if o, ok := b.(map[string]any); ok && o["type"] == "table" {
			rows = append(rows, words(b)...)
		} else {
			rest = append(rest, words(b)...)
		}
	}
	if strings.Contains(payload.Text, "Now watching ") || strings.Contains(payload.Text, " new image") {
		l.inventory(rows, rest)
	} else {
		l.card(payload.Text, append(rest, rows...))
	}
	return l
}

// inventory reads a message about many images: those that have a report are rows, the others could not be scanned.
func (l *letter) inventory(rows, rest []string) {
	l.tell(running, named(imageName, rows))
	l.tell(unscanned, named(imageName, rest))
	if len(l.tellings) == 0 {
		l.strange = "it names no image"
	}
	l.whole(rest)
}

// card reads a message that begins with a sentence which says what it is about.
func (l *letter) card(text string, all []string) {
	all = append(all, text)
	for _, s := range signs {
		if !strings.Contains(text, s.words) {
			continue
		}
		images := named(imageName, all)
		switch s.kind {
		case disclosed:
			l.disclosed(text, images, named(cveName, all), all)
		case running: // its lists are of updates
			l.tell(s.kind, images)
		case unscanned:
			l.failed(all)
			l.whole(all)
		default:
			l.tell(s.kind, images)
			l.whole(all)
		}
		if len(images) == 0 {
			l.strange = "it names no image"
		}
		return
	}
	l.strange = "nothing happened that it could be about"
}

// failed reads which images could not be scanned, and why: the line with a cause names an image, or those after it do.
func (l *letter) failed(texts []string) {
	cause := ""
	for _, text := range texts {
		if c := causeName.FindStringSubmatch(text); c != nil {
			cause = c[1]
		}
		for _, image := range named(imageName, []string{text}) {
			if t := (telling{kind: unscanned, image: image, cause: cause}); !slices.Contains(l.tellings, t) {
				l.tellings = append(l.tellings, t)
			}
		}
	}
}

// disclosed reads which vulnerabilities of which images a message is about.
func (l *letter) disclosed(text string, images, cves, all []string) {
	for _, image := range images {
		for _, cve := range cves {
			l.tellings = append(l.tellings, telling{kind: disclosed, image: image, cve: cve})
		}
	}
	if n := newly.FindStringSubmatch(text); n != nil && len(images) == 1 { // it counts those that it does not name
		number, err := strconv.Atoi(n[1])
		l.about, l.more = images[0], number-len(cves)
		if err != nil || l.more < 0 {
			l.strange = "it names more vulnerabilities than it counts"
		}
		return
	}
	switch l.whole(all); {
	case len(cves) == 0:
		l.strange = "it names no vulnerability"
	case len(cves) > 1:
		l.strange = "it does not say which image has which vulnerability"
	}
}

func (l *letter) tell(k kind, images []string) {
	for _, image := range images {
		l.tellings = append(l.tellings, telling{kind: k, image: image})
	}
}

// whole notes a list that does not name all that it is about.
func (l *letter) whole(texts []string) {
	if i := slices.IndexFunc(texts, cutShort.MatchString); i >= 0 {
		l.strange = fmt.Sprintf("it does not name all that it is about: %q", texts[i])
	}
}

// words are all texts in a part of a payload.
func words(part any) []string {
	var all []string
	switch p := part.(type) {
	case map[string]any:
		for key, value := range p {
			if text, ok := value.(string); ok && key == "text" {
				all = append(all, text)
			} else {
				all = append(all, words(value)...)
			}
		}
	case []any:
		for _, value := range p {
			all = append(all, words(value)...)
		}
	}
	return all
}

// named are the different names in some texts.
func named(names *regexp.Regexp, texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, names.FindAllString(text, -1)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
