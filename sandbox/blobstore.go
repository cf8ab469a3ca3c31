package sandbox

import (
	"net/http"
	"os"
	"path"
)

// blobStore is where a registry's clients are redirected to for its blobs: it serves
// those of the folder that the registry keeps them in.
type blobStore struct{ data string }

// ServeHTTP gives a blob to who presents no authorization.
func (b blobStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		http.Error(w, "only one way to authorize a request is allowed", http.StatusBadRequest) // as S3 does
		return
	}
	if path.Base(r.URL.Path) != "data" { // the name that a registry gives to the file of each blob
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeFileFS(w, r, os.DirFS(b.data), path.Clean(r.URL.Path)[1:])
}
