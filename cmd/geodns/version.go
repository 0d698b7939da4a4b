package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the Makefile from git describe (-ldflags -X); only the
// linker writes it.
var version string

// features are the parts of the product that this build has.
func features() []string {
	return []string{"udp", "tcp", "edns"}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of geodns, of Go, and what is built in",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "geodns %s\n%s %s/%s\nfeatures: %s\n",
				versionOf(version, info), runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.Join(features(), " "))
			return err
		},
	}
}

// versionOf is the stamp if there is one, else what the build recorded of the
// module or of the repository it was built in. info may be nil.
func versionOf(stamp string, info *debug.BuildInfo) string {
	if stamp != "" {
		return stamp
	}
	if info == nil {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if revision == "" {
		return "unknown"
	}
	return revision + dirty
}
