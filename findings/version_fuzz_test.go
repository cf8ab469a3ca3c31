package findings

import (
	"testing"
)

// FuzzVersions: versions of any text have an order, in which of two the one is before the other and the other after it.
func FuzzVersions(f *testing.F) {
	for _, c := range [][3]string{
		{"3.0.17-1~deb12u3", "3.0.17-1", "1:0"}, {"1.2.3-r4", "1.2.3_rc1-r0", "1.2.3a"}, {"", "-", ":"}, {"0", "00", "0.0"}, {"99999999999999999999", "1", "1-99999999999999999999"},
		{"1~", "1", "1+"}, {"1", "1-0", "1-"}, {"1.01", "1.1", "1."}, {"0:1:2", "1:2", "01:2"}, {"\x00", "é", "1 2"},
	} {
		f.Add(c[0], c[1], c[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for name, compare := range map[string]comparison{"deb": compareDeb, "apk": compareAPK} {
			ab, ok := compare(a, b)
			ba, also := compare(b, a)
			if ok != also || ab != -ba {
				t.Errorf("%s: %q and %q: %d %t, the other way round %d %t", name, a, b, ab, ok, ba, also)
			}
			bc, fine := compare(b, c)
			if ac, _ := compare(a, c); ok && fine && ab < 0 && bc < 0 && ac >= 0 {
				t.Errorf("%s: %q is before %q, that is before %q, and the first is not before the last", name, a, b, c)
			}
			if same, ok := compare(a, a); ok && same != 0 {
				t.Errorf("%s: %q is not itself: %d", name, a, same)
			}
		}
	})
}

// Two spellings of one version are one, and numbers beyond any version's are none.
func TestSpellings(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		order int
		ok    bool
	}{
		{"1.1", "1.1-0", 0, true}, {"1.1", "1.01", 0, true}, {"1.1-00", "1.1-", 0, true}, {"1.", "1.0", 0, true}, {"1:1", "01:1", 0, true},
		{"0:1:2", "1:2", -1, true}, {"1.0~", "1.0", -1, true}, {"1.10-1", "1.9-2", 1, true}, {"1.0-1", "1.00-2", -1, true}, {"100", "99", 1, true},
		{" 1.1 ", "1.1", 0, true}, {"99999999999999999998", "99999999999999999999", 0, false},
	} {
		if order, ok := compareDeb(c.a, c.b); max(-1, min(order, 1)) != c.order || ok != c.ok {
			t.Errorf("%q and %q: %d, %t", c.a, c.b, order, ok)
		}
	}
}
