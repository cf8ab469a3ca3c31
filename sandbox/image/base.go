package image

// BookwormBase is what a Debian 12.0 image of June 2023 with the usual
// libraries of a web application has installed, before any security update.
func BookwormBase() []Package {
	return []Package{
		{Name: "apt", Version: "2.6.1"},
		{Name: "base-files", Version: "12.4"},
		{Name: "bash", Version: "5.2.15-2+b2", SourceVersion: "5.2.15-2", Source: "bash"},
		{Name: "ca-certificates", Version: "20230311"},
		{Name: "coreutils", Version: "9.1-1"},
		{Name: "dpkg", Version: "1.21.22"},
		{Name: "gcc-12-base", Version: "12.2.0-14", Source: "gcc-12"},
		{Name: "libblkid1", Version: "2.38.1-5+b1", Source: "util-linux", SourceVersion: "2.38.1-5"},
		{Name: "libbz2-1.0", Version: "1.0.8-5+b1", Source: "bzip2", SourceVersion: "1.0.8-5"},
		{Name: "libc-bin", Version: "2.36-9", Source: "glibc"},
		{Name: "libc6", Version: "2.36-9", Source: "glibc"},
		{Name: "libgcrypt20", Version: "1.10.1-3"},
		{Name: "libgnutls30", Version: "3.7.9-2", Source: "gnutls28"},
		{Name: "libgssapi-krb5-2", Version: "1.20.1-2", Source: "krb5"},
		{Name: "libkrb5-3", Version: "1.20.1-2", Source: "krb5"},
		{Name: "liblzma5", Version: "5.4.1-0.2", Source: "xz-utils"},
		{Name: "libmount1", Version: "2.38.1-5+b1", Source: "util-linux", SourceVersion: "2.38.1-5"},
		{Name: "libpam-modules", Version: "1.5.2-6", Source: "pam"},
		{Name: "libpcre2-8-0", Version: "10.42-1", Source: "pcre2"},
		{Name: "libssl3", Version: "3.0.9-1", Source: "openssl"},
		{Name: "libsystemd0", Version: "252.6-1", Source: "systemd"},
		{Name: "libtasn1-6", Version: "4.19.0-2"},
		{Name: "libtinfo6", Version: "6.4-4", Source: "ncurses"},
		{Name: "login", Version: "1:4.13+dfsg1-1+b1", Source: "shadow", SourceVersion: "1:4.13+dfsg1-1"},
		{Name: "openssl", Version: "3.0.9-1"},
		{Name: "perl-base", Version: "5.36.0-7", Source: "perl"},
		{Name: "tar", Version: "1.34+dfsg-1.2"},
		{Name: "tzdata", Version: "2023c-5"},
		{Name: "util-linux", Version: "2.38.1-5+b1", Source: "util-linux", SourceVersion: "2.38.1-5"},
		{Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Source: "zlib"},
	}
}

// BookwormWeb is what a web server with image and XML handling adds to
// [BookwormBase], as of Debian 12.0.
func BookwormWeb() []Package {
	return []Package{
		{Name: "curl", Version: "7.88.1-10"},
		{Name: "libcurl4", Version: "7.88.1-10", Source: "curl"},
		{Name: "libexpat1", Version: "2.5.0-1", Source: "expat"},
		{Name: "libfreetype6", Version: "2.12.1+dfsg-5", Source: "freetype"},
		{Name: "libjpeg62-turbo", Version: "1:2.1.5-2", Source: "libjpeg-turbo"},
		{Name: "libnghttp2-14", Version: "1.52.0-1", Source: "nghttp2"},
		{Name: "libpng16-16", Version: "1.6.39-2", Source: "libpng1.6"},
		{Name: "libsqlite3-0", Version: "3.40.1-2", Source: "sqlite3"},
		{Name: "libtiff6", Version: "4.5.0-6", Source: "tiff"},
		{Name: "libwebp7", Version: "1.2.4-0.2", Source: "libwebp"},
		{Name: "libxml2", Version: "2.9.14+dfsg-1.2"},
	}
}

// BullseyeBase is what an old Debian 11 image, as of 11.4 in July 2022, has
// installed.
func BullseyeBase() []Package {
	return []Package{
		{Name: "apt", Version: "2.2.4"},
		{Name: "base-files", Version: "11.1+deb11u4"},
		{Name: "bash", Version: "5.1-2+deb11u1"},
		{Name: "coreutils", Version: "8.32-4+b1", Source: "coreutils", SourceVersion: "8.32-4"},
		{Name: "dpkg", Version: "1.20.11"},
		{Name: "libc-bin", Version: "2.31-13+deb11u3", Source: "glibc"},
		{Name: "libc6", Version: "2.31-13+deb11u3", Source: "glibc"},
		{Name: "libexpat1", Version: "2.2.10-2+deb11u3", Source: "expat"},
		{Name: "liblzma5", Version: "5.2.5-2.1~deb11u1", Source: "xz-utils"},
		{Name: "libnghttp2-14", Version: "1.43.0-1", Source: "nghttp2"},
		{Name: "libssl1.1", Version: "1.1.1n-0+deb11u3", Source: "openssl"},
		{Name: "zlib1g", Version: "1:1.2.11.dfsg-2+deb11u1", Source: "zlib"},
	}
}

// AlpineBase is what the image of Alpine 3.20.0, of May 2024, has installed.
func AlpineBase() []Package {
	return []Package{
		{Name: "alpine-baselayout", Version: "3.6.5-r0"},
		{Name: "alpine-baselayout-data", Version: "3.6.5-r0", Source: "alpine-baselayout"},
		{Name: "alpine-keys", Version: "2.4-r1"},
		{Name: "apk-tools", Version: "2.14.4-r0"},
		{Name: "busybox", Version: "1.36.1-r28"},
		{Name: "busybox-binsh", Version: "1.36.1-r28", Source: "busybox"},
		{Name: "ca-certificates-bundle", Version: "20240226-r0", Source: "ca-certificates"},
		{Name: "libcrypto3", Version: "3.3.0-r2", Source: "openssl"},
		{Name: "libssl3", Version: "3.3.0-r2", Source: "openssl"},
		{Name: "musl", Version: "1.2.5-r0"},
		{Name: "musl-utils", Version: "1.2.5-r0", Source: "musl"},
		{Name: "scanelf", Version: "1.3.7-r2", Source: "pax-utils"},
		{Name: "ssl_client", Version: "1.36.1-r28", Source: "busybox"},
		{Name: "zlib", Version: "1.3.1-r1"},
	}
}

// AlpineApp is what an application in Python with a few tools adds to
// [AlpineBase], as of Alpine 3.20.0.
func AlpineApp() []Package {
	return []Package{
		{Name: "brotli-libs", Version: "1.1.0-r2", Source: "brotli"},
		{Name: "c-ares", Version: "1.28.1-r0"},
		{Name: "curl", Version: "8.7.1-r0"},
		{Name: "git", Version: "2.45.1-r0"},
		{Name: "libbz2", Version: "1.0.8-r6", Source: "bzip2"},
		{Name: "libcurl", Version: "8.7.1-r0", Source: "curl"},
		{Name: "libexpat", Version: "2.6.2-r0", Source: "expat"},
		{Name: "libffi", Version: "3.4.6-r0"},
		{Name: "libidn2", Version: "2.3.7-r0"},
		{Name: "libpsl", Version: "0.21.5-r1"},
		{Name: "libxml2", Version: "2.12.7-r0"},
		{Name: "nghttp2-libs", Version: "1.62.0-r0", Source: "nghttp2"},
		{Name: "pcre2", Version: "10.43-r0"},
		{Name: "python3", Version: "3.12.3-r1"},
		{Name: "readline", Version: "8.2.10-r0"},
		{Name: "sqlite-libs", Version: "3.45.3-r1", Source: "sqlite"},
		{Name: "xz-libs", Version: "5.6.1-r3", Source: "xz"},
		{Name: "zstd-libs", Version: "1.5.6-r0", Source: "zstd"},
	}
}
