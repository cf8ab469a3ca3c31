package watcher

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// Of two updates at the same time the one that began first can end last. The tag of the list is that of the other one
// then, and stays.
func TestDataOfUpdatesThatOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []clair.Updater{updater("debian", 24*time.Hour), updater("nvd", 24*time.Hour)}
		tag := "e1"
		c := newDataClair(func(etag string) (clair.Updates, error) {
			if etag == tag {
				return clair.Updates{Unchanged: true, ETag: tag, Now: time.Now()}, nil
			}
			return clair.Updates{ETag: tag, Now: time.Now(), Updaters: list}, nil
		})
		s := newDataSource(noEvents())
		editions := make(map[uint64]bool)
		read := func(minutes int) {
			t.Helper()
			for range minutes {
				d, err := s.read(t.Context(), c, fiveMinutes)
				if err != nil {
					t.Fatal(err)
				}
				editions[d.edition] = true
				time.Sleep(time.Minute)
			}
		}
		read(19)
		nvd := time.Now() // begins, and takes longer than the other one
		time.Sleep(time.Minute)
		tag, list = "e2", []clair.Updater{updater("debian", 0), list[1]}
		read(2)
		list = []clair.Updater{list[0], {Name: "nvd", Vulnerabilities: true, First: list[1].First, Last: nvd}}
		read(2)
		if len(editions) != 3 {
			t.Errorf("%d editions, want that of before, and one after each update", len(editions))
		}
	})
}

// Who wants to know what a Clair has now does not rely on the tag either: of a webhook that comes then nothing would be
// looked at.
func TestDataNowOfTheSameTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []clair.Updater{updater("debian", 24*time.Hour)}
		c := newDataClair(func(etag string) (clair.Updates, error) {
			if etag != "" {
				return clair.Updates{Unchanged: true, ETag: etag, Now: time.Now()}, nil
			}
			return clair.Updates{ETag: "e", Now: time.Now(), Updaters: list}, nil
		})
		s := newDataSource(noEvents())
		var before data
		for range 20 {
			var err error
			if before, err = s.read(t.Context(), c, fiveMinutes); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		list = []clair.Updater{updater("debian", 0)}
		if now, err := s.readNow(t.Context(), c, fiveMinutes); err != nil || now.edition == before.edition {
			t.Errorf("edition %d as before, %v", now.edition, err)
		}
	})
}
