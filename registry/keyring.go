package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Keyring finds the credentials of a repository in docker configs by the rules of
// the kubelet (pkg/credentialprovider of k8s.io/kubernetes v1.37): each label of a
// key's host may be a glob, ports are equal, a path is a plain prefix, longer keys
// come first, all matches count, and index.docker.io is the last resort for Docker
// Hub. The zero value is empty and ready. Look-ups may run at the same time, not
// beside Add.
type Keyring struct {
	keys []key // by name, descending
}

// key is one registry of a docker config, with the credentials of all configs
// that have it, in the order of their addition.
type key struct {
	name        string // host and path, as the kubelet sorts them
	match       *url.URL
	credentials []Credential
}

// hubKey serves Docker Hub where no key matches.
const hubKey = "index.docker.io"

// entry is one registry of a docker config. Identity and registry tokens are left
// out, as the kubelet does.
type entry struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
}

// Add reads a docker config: the JSON of config.json (a Secret's
// .dockerconfigjson), or where legacy is set that of the older .dockercfg, which
// has no "auths" around its entries. An entry that cannot be read is skipped; a
// config that is no JSON is [ErrCredentials]. The error never holds the config's text.
func (k *Keyring) Add(data []byte, legacy bool) error {
	var entries map[string]json.RawMessage
	if legacy {
		if json.Unmarshal(data, &entries) != nil {
			return fmt.Errorf("%w: not the JSON of a .dockercfg", ErrCredentials)
		}
	} else {
		var config struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		if json.Unmarshal(data, &config) != nil {
			return fmt.Errorf("%w: not the JSON of a docker config", ErrCredentials)
		}
		entries = config.Auths
	}
	// Two spellings of one key: sorted, so that their order is always the same.
	at := make(map[string]int, len(k.keys))
	for i := range k.keys {
		at[k.keys[i].name] = i
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if c, ok := readEntry(entries[name]); ok {
			k.add(at, name, c)
		}
	}
	slices.SortFunc(k.keys, func(a, b key) int { return strings.Compare(b.name, a.name) })
	return nil
}

// readEntry is false for an entry that is unreadable or has no user.
func readEntry(raw json.RawMessage) (Credential, bool) {
	var e entry
	if json.Unmarshal(raw, &e) != nil {
		return Credential{}, false
	}
	if e.Auth != "" {
		encoding := base64.RawStdEncoding
		if strings.HasSuffix(strings.TrimSpace(e.Auth), "=") {
			encoding = base64.StdEncoding
		}
		decoded, err := encoding.DecodeString(e.Auth)
		if err != nil {
			return Credential{}, false
		}
		var ok bool
		if e.Username, e.Password, ok = strings.Cut(string(decoded), ":"); !ok {
			return Credential{}, false
		}
	}
	return Credential{Username: e.Username, Password: e.Password}, e.Username != ""
}

// add appends the key, or its credential where it is there: at has the place of each.
func (k *Keyring) add(at map[string]int, name string, c Credential) {
	if !strings.HasPrefix(name, "https://") && !strings.HasPrefix(name, "http://") {
		name = "https://" + name
	}
	u, err := url.Parse(name)
	if err != nil {
		return
	}
	p := u.Path
	if strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/v2/") {
		p = p[3:]
	}
	if p == "/" {
		p = ""
	}
	name = u.Host + p
	match, err := url.Parse("https://" + name)
	if err != nil {
		return
	}
	i, ok := at[name]
	if !ok {
		i = len(k.keys)
		at[name] = i
		k.keys = append(k.keys, key{name: name, match: match})
	}
	k.keys[i].credentials = append(k.keys[i].credentials, c)
}

// Lookup returns all credentials that a kubelet would try for repo ("host/path",
// without tag and digest), in its order; nil where there are none.
func (k *Keyring) Lookup(repo string) []Credential {
	target, err := url.Parse("https://" + repo)
	if err != nil {
		return nil
	}
	var found, hub []Credential
	for _, k := range k.keys {
		if matches(k.match, target) {
			found = append(found, k.credentials...)
		}
		if k.name == hubKey {
			hub = k.credentials
		}
	}
	if len(found) == 0 && onHub(repo) {
		return slices.Clone(hub)
	}
	return found
}

// onHub says whether repo is one of Docker Hub: by its host, or for want of one.
func onHub(repo string) bool {
	first, _, more := strings.Cut(repo, "/")
	switch {
	case first == "":
		return false
	case !more, first == "docker.io", first == "index.docker.io":
		return true
	}
	return !strings.ContainsAny(first, ".:")
}

func matches(glob, target *url.URL) bool {
	globHost, globPort := splitPort(glob.Host)
	targetHost, targetPort := splitPort(target.Host)
	if globPort != targetPort || !strings.HasPrefix(target.Path, glob.Path) {
		return false
	}
	globs, labels := strings.Split(globHost, "."), strings.Split(targetHost, ".")
	if len(globs) != len(labels) {
		return false
	}
	for i := range globs {
		if ok, err := path.Match(globs[i], labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func splitPort(hostport string) (host, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport, ""
	}
	return host, port
}
