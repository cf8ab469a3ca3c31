package image

import (
	"fmt"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Sample is a named image of the demo.
type Sample struct {
	// Name is repository and tag, without a registry: "shop/web:1.4.2".
	Name string
	// Private samples belong into a registry that asks for a password.
	Private bool
	// Artifact is the image, or the index.
	Artifact Artifact
}

// The names of the samples.
const (
	ShopWeb        = "shop/web:1.4.2"        // Debian 12.0, two layers, many findings
	ShopAPI        = "shop/api:2.0.1"        // Alpine 3.20.0, two layers, the upper one repeated
	ShopWorker     = "shop/worker:0.9.0"     // Debian 12, partly updated, few findings
	PaymentsLedger = "payments/ledger:3.1.0" // Debian 12.0, private
	PaymentsLegacy = "payments/legacy:1.0.7" // Debian 11
	PlatformProxy  = "platform/proxy:1.26"   // an index: Alpine for amd64 (old) and arm64 (updated)
	PlatformGate   = "platform/gate:0.4.0"   // Debian 12 without a package manager
	PlatformStatic = "platform/static:1.0.0" // one file, no operating system
)

// Samples makes the images of the demo, in the order of the constants above.
func Samples() ([]Sample, error) {
	var samples []Sample
	for _, make := range []func() (Sample, error){
		shopWeb, shopAPI, shopWorker, paymentsLedger, paymentsLegacy, platformProxy, platformGate, platformStatic,
	} {
		sample, err := make()
		if err != nil {
			return nil, fmt.Errorf("making the sample images: %w", err)
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

func application(name string) map[string]string {
	return map[string]string{"app/server": "#!/bin/sh\necho " + name + "\n"}
}

func single(name string, private bool, spec Spec) (Sample, error) {
	spec.Files = application(name)
	image, err := Build(spec)
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", name, err)
	}
	return Sample{Name: name, Private: private, Artifact: image}, nil
}

func shopWeb() (Sample, error) {
	return single(ShopWeb, false, Spec{Release: Bookworm, Base: BookwormBase(), App: BookwormWeb()})
}

func shopAPI() (Sample, error) {
	return single(ShopAPI, false, Spec{Release: Alpine320, Base: AlpineBase(), App: AlpineApp(), RepeatLayer: true})
}

// shopWorker has the security updates up to the spring of 2024.
func shopWorker() (Sample, error) {
	base := BookwormBase()
	for _, update := range []struct{ source, version string }{
		{"glibc", "2.36-9+deb12u7"},
		{"openssl", "3.0.13-1~deb12u1"},
		{"gnutls28", "3.7.9-2+deb12u2"},
		{"util-linux", "2.38.1-5+deb12u1"},
		{"perl", "5.36.0-7+deb12u1"},
		{"krb5", "1.20.1-2+deb12u1"},
	} {
		var err error
		if base, err = Upgrade(base, update.source, update.version); err != nil {
			return Sample{}, fmt.Errorf("%s: %w", ShopWorker, err)
		}
	}
	return single(ShopWorker, false, Spec{Release: Bookworm, Base: base})
}

func paymentsLedger() (Sample, error) {
	return single(PaymentsLedger, true, Spec{Release: Bookworm, Base: BookwormBase(), App: []Package{
		{Name: "libexpat1", Version: "2.5.0-1", Source: "expat"},
		{Name: "libsqlite3-0", Version: "3.40.1-2", Source: "sqlite3"},
		{Name: "openssh-client", Version: "1:9.2p1-2", Source: "openssh"},
		{Name: "openssh-server", Version: "1:9.2p1-2", Source: "openssh"},
		{Name: "sudo", Version: "1.9.13p3-1+deb12u1"},
	}})
}

func paymentsLegacy() (Sample, error) {
	return single(PaymentsLegacy, false, Spec{Release: Bullseye, Base: BullseyeBase()})
}

func platformProxy() (Sample, error) {
	proxy := []Package{
		{Name: "nginx", Version: "1.26.1-r0"},
		{Name: "pcre2", Version: "10.43-r0"},
	}
	updated, err := Upgrade(AlpineBase(), "openssl", "3.3.3-r0")
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", PlatformProxy, err)
	}
	var platforms []v1.Image
	for _, spec := range []Spec{
		{Release: Alpine320, Arch: "amd64", Base: AlpineBase(), App: proxy},
		{Release: Alpine320, Arch: "arm64", Base: updated, App: proxy},
	} {
		spec.Files = application(PlatformProxy)
		image, err := Build(spec)
		if err != nil {
			return Sample{}, fmt.Errorf("%s: %w", PlatformProxy, err)
		}
		platforms = append(platforms, image)
	}
	index, err := Index(platforms...)
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", PlatformProxy, err)
	}
	return Sample{Name: PlatformProxy, Artifact: index}, nil
}

func platformGate() (Sample, error) {
	return single(PlatformGate, false, Spec{Release: Bookworm, Distroless: true, Base: []Package{
		{Name: "base-files", Version: "12.4+deb12u1"},
		{Name: "libc6", Version: "2.36-9+deb12u1", Source: "glibc"},
		{Name: "libssl3", Version: "3.0.9-1", Source: "openssl"},
		{Name: "netbase", Version: "6.4"},
		{Name: "tzdata", Version: "2023c-5"},
	}})
}

func platformStatic() (Sample, error) {
	files := application(PlatformStatic)
	maps.Copy(files, map[string]string{"etc/passwd": "nobody:x:65534:65534:nobody:/:/sbin/nologin\n"})
	image, err := Build(Spec{Files: files})
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", PlatformStatic, err)
	}
	return Sample{Name: PlatformStatic, Artifact: image}, nil
}
