package registry_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/registry"
)

const (
	hexA    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB    = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	digestA = "sha256:" + hexA
	digestB = "sha256:" + hexB
)

func TestIdentify(t *testing.T) {
	at := func(repo, digest string) registry.Candidate {
		return registry.Candidate{Repo: repo, Digest: digest}
	}
	list := func(c ...registry.Candidate) []registry.Candidate { return c }
	const nginx = "docker.io/library/nginx"
	tests := []struct {
		name, spec, imageID string
		want                registry.Identity
		err                 error
	}{
		{name: "not pulled", spec: "nginx", err: registry.ErrNotPulled},
		{name: "containerd", spec: "nginx:1.25", imageID: nginx + "@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at(nginx, digestA))}},
		{name: "containerd, one component", spec: "registry.k8s.io/pause:3.9", imageID: "registry.k8s.io/pause@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("registry.k8s.io/pause", digestA))}},
		{name: "containerd, port", spec: "localhost:5001/app", imageID: "localhost:5001/app@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("localhost:5001/app", digestA))}},
		{name: "containerd, the image under another repository", spec: "quay.io/team/app:1", imageID: "ghcr.io/other/app@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/team/app", digestA), at("ghcr.io/other/app", digestA))}},
		{name: "CRI-O, another repository with the platform's digest", spec: "quay.io/team/app:1", imageID: "registry.k8s.io/pause@" + digestB,
			want: registry.Identity{ID: digestB, Candidates: list(at("quay.io/team/app", digestB), at("registry.k8s.io/pause", digestB))}},
		{name: "containerd, pinned", spec: "nginx@" + digestA, imageID: nginx + "@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at(nginx, digestA))}},
		{name: "containerd, pinned with a tag", spec: "nginx:1@" + digestA, imageID: nginx + "@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at(nginx, digestA))}},
		{name: "containerd, pinned, changed in place", spec: "nginx@" + digestB, imageID: nginx + "@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at(nginx, digestA))}},
		{name: "pinned, another repository with another digest: that is what runs", spec: "quay.io/team/app@" + digestB, imageID: "ghcr.io/other/app@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/team/app", digestA), at("ghcr.io/other/app", digestA))}},
		{name: "containerd, pinned, another repository", spec: "quay.io/team/app@" + digestA, imageID: "ghcr.io/other/app@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/team/app", digestA), at("ghcr.io/other/app", digestA))}},
		{name: "cri-dockerd", spec: "nginx", imageID: "docker-pullable://nginx@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at(nginx, digestA))}},
		{name: "cri-dockerd, another repository", spec: "registry.k8s.io/pause:3.9", imageID: "docker-pullable://quay.io/team/pause@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("registry.k8s.io/pause", digestA), at("quay.io/team/pause", digestA))}},
		{name: "cri-dockerd, config id", spec: "nginx", imageID: "docker://" + digestA,
			want: registry.Identity{ID: digestA, Config: digestA, Candidates: list(registry.Candidate{Repo: nginx, Tag: "latest"})}},
		{name: "containerd, config id, as of each image volume", spec: "nginx:1", imageID: digestA,
			want: registry.Identity{ID: digestA, Config: digestA, Candidates: list(registry.Candidate{Repo: nginx, Tag: "1"})}},
		{name: "CRI-O, config id, as of each image volume", spec: "nginx:1", imageID: hexA,
			want: registry.Identity{ID: digestA, Config: digestA, Candidates: list(registry.Candidate{Repo: nginx, Tag: "1"})}},
		{name: "CRI-O, config id, pinned", spec: "nginx:1@" + digestB, imageID: hexA,
			want: registry.Identity{ID: digestA, Config: digestA, Candidates: list(at(nginx, digestB))}},
		{name: "kind load, containerd", spec: "team/app:dev", imageID: "docker.io/library/import-2026-01-31@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("docker.io/team/app", digestA))}},
		{name: "kind load, containerd, spec is an id: local only", spec: digestA, imageID: "docker.io/library/import-2026-01-31@" + digestA, err: registry.ErrLocalOnly},
		{name: "CRI-O, config id, spec is an id: local only", spec: hexA, imageID: hexA, err: registry.ErrLocalOnly},
		{name: "containerd, config id, spec is its digest: local only", spec: digestA, imageID: digestA, err: registry.ErrLocalOnly},
		{name: "kind load, containerd, pinned", spec: "quay.io/team/app@" + digestB, imageID: "docker.io/library/import-2026-01-31@" + digestA,
			want: registry.Identity{ID: digestB, Candidates: list(at("quay.io/team/app", digestB))}},
		{name: "kind load, containerd, pinned to what was loaded", spec: "quay.io/team/app@" + digestA, imageID: "docker.io/library/import-2026-01-31@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/team/app", digestA))}},
		{name: "cri-dockerd, config id, spec is an id: local only", spec: digestA, imageID: "docker://" + digestA, err: registry.ErrLocalOnly},
		{name: "image volume, pinned, no status: the reference for both", spec: "quay.io/team/model:1@" + digestA, imageID: "quay.io/team/model:1@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/team/model", digestA))}},
		{name: "image volume, tagged, no status: the reference for both", spec: "quay.io/team/model:1", imageID: "quay.io/team/model:1", err: registry.ErrInvalid},
		{name: "spec is an id", spec: hexB, imageID: "quay.io/app@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/app", digestA))}},
		{name: "spec is unreadable", spec: "a.b/../../c", imageID: "quay.io/app@" + digestA,
			want: registry.Identity{ID: digestA, Candidates: list(at("quay.io/app", digestA))}},
		{name: "sha512", spec: "quay.io/app", imageID: "quay.io/app@sha512:" + hexA + hexB,
			want: registry.Identity{ID: "sha512:" + hexA + hexB, Candidates: list(at("quay.io/app", "sha512:"+hexA+hexB))}},
		{name: "a tag says nothing", spec: "nginx:1", imageID: "docker.io/library/nginx:1", err: registry.ErrInvalid},
		{name: "climbing", spec: "nginx", imageID: "evil.com/../../c@" + digestA, err: registry.ErrInvalid},
		{name: "two ports", spec: "nginx", imageID: "evil.com:80:90/x@" + digestA, err: registry.ErrInvalid},
		{name: "a user", spec: "nginx", imageID: "user:password@evil.com/x@" + digestA, err: registry.ErrInvalid},
		{name: "another algorithm", spec: "nginx", imageID: "nginx@md5:" + hexA[:32], err: registry.ErrInvalid},
		{name: "short digest", spec: "nginx", imageID: "nginx@sha256:abc", err: registry.ErrInvalid},
		{name: "upper case", spec: "nginx", imageID: "nginx@sha256:" + strings.ToUpper(hexA), err: registry.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := registry.Identify(tt.spec, tt.imageID)
			if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v, %v", got, err, tt.want, tt.err)
			}
			if registry.Permanent(err) != (tt.err != nil && tt.err != registry.ErrNotPulled) {
				t.Errorf("permanent: %v", registry.Permanent(err))
			}
		})
	}
}

// FuzzIdentify holds what everybody after it relies on: a name that makes a safe
// address, and that reads the same again.
func FuzzIdentify(f *testing.F) {
	f.Add("nginx:1.25", "docker.io/library/nginx@"+digestA)
	f.Add("localhost:5001/a/b@"+digestB, "docker-pullable://quay.io/x@"+digestA)
	f.Add("nginx", hexA)
	f.Add("a.b/../../c", "docker.io/library/import-2026-01-31@"+digestA)
	f.Add("[::1]:5000/x", "[::1]:5000/x@"+digestA)
	f.Fuzz(func(t *testing.T, spec, imageID string) {
		id, err := registry.Identify(spec, imageID)
		if err != nil {
			if imageID != "" && !registry.Permanent(err) {
				t.Errorf("%v is not permanent", err)
			}
			return
		}
		of := imageID
		if strings.Contains(of, "import-") {
			of += spec
		}
		if len(id.Candidates) == 0 || !strings.Contains(of, strings.TrimPrefix(id.ID, "sha256:")) {
			t.Fatalf("%+v", id)
		}
		if alone, err := registry.Identify("", imageID); err == nil && alone.ID != id.ID {
			t.Errorf("%s beside %q, and %s alone", id.ID, spec, alone.ID)
		}
		for _, c := range id.Candidates {
			host, path, ok := strings.Cut(c.Repo, "/")
			if !ok || host == "" || path == "" || strings.ContainsAny(c.Repo, "@?#% \\") || strings.Contains(c.Repo, "..") || strings.Contains(path, ":") {
				t.Errorf("repository %q", c.Repo)
			}
			if (c.Digest == "") == (c.Tag == "") || c.Digest == "" && id.Config == "" {
				t.Errorf("candidate %+v", c)
			}
			if c.Digest != id.ID && id.Config == "" {
				t.Errorf("%s is asked for as %s", c, id.ID)
			}
			if again, err := registry.Identify(c.String(), imageID); err != nil || again.ID != id.ID || again.Candidates[0].Repo != c.Repo {
				t.Errorf("%s reads as %+v, %v", c, again, err)
			}
		}
	})
}
