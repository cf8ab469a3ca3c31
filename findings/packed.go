package findings

import (
	"encoding/binary"
	"math"
	"strings"
)

// PackedLimit is how many bytes of a report's findings are kept, which is some 6,000 of them. What a pod's author could
// put into an image has no end otherwise.
const PackedLimit = 256 << 10

// Packed are findings in few bytes, about 40 each, for who keeps those of many images. Of each it has its name, package,
// versions, severity, score (to one decimal, as scores have), updater, link and OtherNames, and so its ID. The zero value has none. Two
// that are equal have the same findings.
type Packed struct {
	// text is three lists: the other names of findings, the findings, and the texts. A finding refers to the others by
	// number. A list begins with its length; numbers are unsigned varints, and texts follow their length. A search needs
	// the texts only when it has found something.
	text string
}

// Pack packs findings, which are to be sorted worst first: what is beyond PackedLimit is left out.
func Pack(fs []Finding) Packed {
	if len(fs) == 0 {
		return Packed{}
	}
	p := packer{others: newTexts(), texts: newTexts(), names: make(map[string]naming)}
	n := 0
	for ; n < len(fs) && p.add(fs[n]); n++ {
	}
	list := func(to []byte, length int, items []byte) []byte {
		return append(binary.AppendUvarint(to, uint64(length)), items...)
	}
	all := make([]byte, 0, p.size()+3*binary.MaxVarintLen64)
	all = list(all, len(p.others.numbers), p.others.packed)
	all = list(all, n, p.findings)
	return Packed{string(list(all, len(p.texts.numbers), p.texts.packed))}
}

// Size is how many bytes they take.
func (p Packed) Size() int { return len(p.text) }

// packer packs findings.
type packer struct {
	findings      []byte
	others, texts texts
	names         map[string]naming // by the findings' names
}

func (p *packer) size() int { return len(p.others.packed) + len(p.findings) + len(p.texts.packed) }

// texts are texts, each once.
type texts struct {
	packed  []byte
	numbers map[string]uint64
}

func newTexts() texts { return texts{numbers: make(map[string]uint64)} }

// number returns that of a text.
func (t *texts) number(text string) uint64 {
	number, known := t.numbers[text]
	if !known {
		number = uint64(len(t.numbers))
		t.numbers[text] = number
		t.packed = appendText(t.packed, text)
	}
	return number
}

// naming is from what the other names of a finding were read, and what they are. As a rule the packages that have a
// vulnerability share all of it, and a description can be long.
type naming struct{ link, description, others string }

// add adds a finding, and says whether there was room for it.
func (p *packer) add(f Finding) bool {
	by, known := p.names[f.Name]
	if !known || by.link != f.Link || by.description != f.Description {
		by = naming{f.Link, f.Description, strings.Join(f.OtherNames(), " ")}
		p.names[f.Name] = by
	}
	texts := [...]string{f.Package, f.source, f.Installed, f.FixedIn, f.Updater, linkForm(f)} // most packages are their own source
	size := p.size() + len(f.Name) + len(by.others)
	for _, text := range texts {
		size += len(text) // if it is new
	}
	if size > PackedLimit {
		return false
	}
	p.findings = binary.AppendUvarint(appendText(p.findings, f.Name), p.others.number(by.others))
	p.findings = append(p.findings, byte(f.Severity), byte(math.Round(f.CVSS*10)))
	for _, text := range texts {
		p.findings = binary.AppendUvarint(p.findings, p.texts.number(text))
	}
	return true
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// namePlace stands for a finding's name in the form of its link. No link has it: it is no address then.
const namePlace = "\x00"

// linkForm is a finding's link without its name, and so that of many.
func linkForm(f Finding) string {
	if f.Name == "" {
		return f.Link
	}
	return strings.Replace(f.Link, f.Name, namePlace, 1)
}

// all returns all of them, in their order.
func (p Packed) all() []Finding {
	return p.those(func(string) bool { return true }, func(string) bool { return true })
}

// About returns those that are called a name, as IsCalled has it, and those that have it among their OtherNames, in any
// case of letters.
func (p Packed) About(name string) []Finding {
	if name == "" {
		return nil
	}
	return p.those(func(called string) bool { return Finding{Name: called}.IsCalled(name) }, func(others string) bool { return hasName(others, name) })
}

// hasName says whether a name is one of several with spaces between them.
func hasName(names, name string) bool {
	for n := range strings.SplitSeq(names, " ") {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// place is a finding that has been read, with the numbers of its texts.
type place struct {
	finding Finding
	texts   [6]uint64
}

// those returns the findings that are wanted by their name, or by their other names.
func (p Packed) those(byName, byOthers func(string) bool) []Finding {
	if p.text == "" {
		return nil
	}
	var found []place
	u := unpacker{p.text}
	wanted := make([]bool, u.number()) // by the number of their other names
	for i := range wanted {
		wanted[i] = byOthers(u.text())
	}
	for range u.number() {
		at := place{finding: Finding{Name: u.text()}}
		if others := u.number(); !wanted[others] && !byName(at.finding.Name) {
			u.skipRest()
			continue
		}
		at.finding.Severity, at.finding.CVSS = Severity(u.byte()), float64(u.byte())/10
		for i := range at.texts {
			at.texts[i] = u.number()
		}
		found = append(found, at)
	}
	if len(found) == 0 {
		return nil
	}
	texts := make([]string, u.number())
	for i := range texts {
		texts[i] = u.text()
	}
	fs := make([]Finding, len(found))
	for i, at := range found {
		f := at.finding
		text := func(i int) string { return texts[at.texts[i]] } // in the order in which add has them
		f.Package, f.source, f.Installed, f.FixedIn, f.Updater = text(0), text(1), text(2), text(3), text(4)
		f.Link = strings.Replace(text(5), namePlace, f.Name, 1)
		fs[i] = f
	}
	return fs
}

// unpacker reads what a packer has written.
type unpacker struct{ rest string }

func (u *unpacker) number() uint64 {
	var n uint64
	for shift := 0; len(u.rest) > 0; shift += 7 {
		b := u.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return n
}

func (u *unpacker) byte() byte {
	b := u.rest[0]
	u.rest = u.rest[1:]
	return b
}

func (u *unpacker) text() string {
	n := u.number()
	text := u.rest[:n]
	u.rest = u.rest[n:]
	return text
}

// skipRest skips what follows the name of a finding, and the number of its other names.
func (u *unpacker) skipRest() {
	u.rest = u.rest[2:]
	for range len(place{}.texts) {
		u.number()
	}
}
