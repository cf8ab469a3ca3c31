package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// builtVersion and builtRevision are written by the linker, as the Dockerfile has it: an image is built where the
// repository is not. Nothing else writes them; they are variables because the linker sets no constants.
var builtVersion, builtRevision string

// origin is what the program was built from.
type origin struct {
	// version is the release, such as v1.2.3, or what the go command made of the repository. It is never empty.
	version string
	// revision is the commit, with "+dirty" where files had been changed since. Empty: it is not known.
	revision string
}

// built is what this program was built from.
func built() origin {
	info, _ := debug.ReadBuildInfo()
	return originOf(builtVersion, builtRevision, info)
}

// originOf takes what the linker has written; where that is nothing, what the go command has; info may be nil.
func originOf(version, revision string, info *debug.BuildInfo) origin {
	o := origin{version: strings.TrimSpace(version), revision: strings.TrimSpace(revision)}
	if info == nil {
		info = &debug.BuildInfo{}
	}
	o.version = cmp.Or(o.version, info.Main.Version, "unknown")
	if o.revision != "" {
		return o
	}
	of := make(map[string]string)
	for _, s := range info.Settings {
		of[s.Key] = s.Value
	}
	o.revision = of["vcs.revision"]
	if o.revision != "" && of["vcs.modified"] == "true" {
		o.revision += "+dirty"
	}
	return o
}

// userAgent says who asks, as the logs of registries, of Clair and of the API server show it.
func userAgent() string {
	v, _, _ := strings.Cut(built().version, " ")
	return "clairwatch/" + strings.Trim(v, "()")
}

// versionCommand prints what the program was built from.
func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `version prints from which release and commit the program was built, by which Go, and
for which system. An image says so in its labels too.`,
		Example:           "  clairwatch version",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := built()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "clairwatch version %s\nrevision %s\n%s %s/%s\n",
				o.version, cmp.Or(o.revision, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
