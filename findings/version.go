package findings

import (
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
	va, errA := deb.NewVersion(a)
	vb, errB := deb.NewVersion(b)
	if errA != nil || errB != nil {
		return 0, false
	}
	return va.Compare(vb), true
}

func compareAPK(a, b string) (int, bool) {
	va, errA := apk.NewVersion(a)
	vb, errB := apk.NewVersion(b)
	if errA != nil || errB != nil {
		return 0, false
	}
	return va.Compare(vb), true
}
