// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is the commit that this program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, dirty := info.Main.Version, ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	return v + dirty
}

// Versioned gives root the flag --version, which prints one line: the program, the
// commit, what else there is to say of it, and what it was built for.
func Versioned(root *cobra.Command, more ...string) {
	root.Version = Version()
	line := fmt.Sprintf("%s %s", root.Name(), root.Version)
	for _, m := range more {
		line += ", " + m
	}
	line += fmt.Sprintf(", %s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	root.SetVersionTemplate(line + "\n")
}
