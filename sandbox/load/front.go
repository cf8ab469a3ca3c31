package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// openFront stands before the API server, counts what clairwatch asks of it, and returns the path of a kubeconfig with
// clairwatch's rights that leads through it. As the API server does it speaks HTTP/2.
func (c *Cluster) openFront(ctx context.Context) (kubeconfig string, err error) {
	own, err := c.Kubeconfig(ctx, stage.Namespace, stage.Namespace)
	if err != nil {
		return "", err
	}
	admin := c.AdminConfig()
	upstream, err := url.Parse(admin.Host)
	if err != nil {
		return "", fmt.Errorf("reading the address of the API server: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(admin.CAData)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		FlushInterval: -1, // a watch's events are to come when they happen
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
		ErrorLog:      log.New(io.Discard, "", 0), // a watch that clairwatch leaves is an error to it
	}
	c.api = newCounter(kindAtAPI, proxy)
	front := httptest.NewUnstartedServer(c.api)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.EnableHTTP2 = true
	front.StartTLS()
	c.servers = append(c.servers, front)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	return sandbox.LeadThrough(own, front.URL, ca, "front.kubeconfig")
}

// kindAtAPI is what a request asks of the API server: a verb and a resource, as in rules of RBAC.
func kindAtAPI(r *http.Request) string {
	// /api/v1/namespaces/NS/RESOURCE/NAME, /apis/GROUP/VERSION/RESOURCE and the like.
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch parts[0] {
	case "api":
		parts = parts[min(2, len(parts)):]
	case "apis":
		parts = parts[min(3, len(parts)):]
	default:
		return "other"
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	if len(parts) == 0 {
		return "other"
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	switch {
	case verb != "":
	case r.URL.Query().Get("watch") == "true" || r.URL.Query().Get("watch") == "1":
		verb = "watch"
	case len(parts) == 1:
		verb = "list"
	default:
		verb = "get"
	}
	return verb + " " + parts[0]
}
