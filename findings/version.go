package findings

import (
	"regexp"
	"strings"

	apk "github.com/knqyf263/go-apk-version"
	deb "github.com/knqyf263/go-deb-version"
)

// comparison orders the versions of one kind of packages. It says false where one of them is not a
// version.
type comparison func(a, b string) (int, bool)

// comparisonOf returns how versions of an updater's packages compare, with the libraries that Clair's own
// matchers compare them with (claircore debian/matcher.go, ubuntu/matcher.go, alpine/matcher.go). It is nil
// for the others: there two fixes of one package stay two updates, which is never wrong.
func comparisonOf(updater string) comparison {
	switch {
	case strings.HasPrefix(updater, "debian"), strings.HasPrefix(updater, "ubuntu"):
		return compareDeb
	case strings.HasPrefix(updater, "alpine"):
		return compareAPK
	default:
		return nil
	}
}

func compareDeb(a, b string) (int, bool) {
	if !deb.Valid(a) || !deb.Valid(b) || longNumber.MatchString(a+"-"+b) {
		return 0, false
	}
	va, errA := deb.NewVersion(spelledOut(a))
	vb, errB := deb.NewVersion(spelledOut(b))
	if errA != nil || errB != nil {
		return 0, false
	}
	return va.Compare(vb), true
}

// longNumber finds numbers that the library of Debian's versions takes all for the same one.
var longNumber = regexp.MustCompile(`[0-9]{19}`)

// zeros finds the zeros that a number begins with.
var zeros = regexp.MustCompile(`(^|[^0-9])0+([0-9])`)

// spelledOut writes a version of Debian in the one way in which no other spelling means the same: 1.01 as 1.1-0. Of two
// spellings of one version, as 1.1 and 1.1-0, the library never finishes the comparison.
func spelledOut(version string) string {
	version = zeros.ReplaceAllString(strings.TrimSpace(version), "$1$2")
	upstream, revision := version, ""
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		upstream, revision = version[:i], version[i+1:]
	}
	return withNumber(upstream) + "-" + withNumber(revision)
}

// withNumber ends a part of a version with a number: none counts as 0.
func withNumber(part string) string {
	if part == "" || part[len(part)-1] < '0' || part[len(part)-1] > '9' {
		return part + "0"
	}
	return part
}

func compareAPK(a, b string) (int, bool) {
	va, errA := apk.NewVersion(a)
	vb, errB := apk.NewVersion(b)
	if errA != nil || errB != nil {
		return 0, false
	}
	return va.Compare(vb), true
}
