package watcher

import (
	"cmp"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
)

// image is the unit of work: an image that runs in a namespace, on one kind of node. It is a key and so
// small; all else is looked up when its turn comes.
type image struct {
	namespace string
	// id is the digest or config id that the container's status shows.
	id string
	// platform is that of the node; the zero value while the node is not known.
	platform registry.Platform
}

func compareImages(a, b image) int {
	if d := cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.id, b.id)); d != 0 || a.platform == b.platform {
		return d // nearly always, without putting platforms into words
	}
	return cmp.Compare(a.platform.String(), b.platform.String())
}

// inLedger is how the ledger knows the image: the same one in every namespace.
func (i image) inLedger() ledger.Image { return ledger.Image{ID: i.id, Platform: i.platform.String()} }
