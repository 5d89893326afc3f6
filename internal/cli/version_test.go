// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestVersioned(t *testing.T) {
	root := &cobra.Command{Use: "prog", RunE: func(*cobra.Command, []string) error { return nil }}
	Strict(root)
	Versioned(root, "wire version 9")
	root.SetArgs([]string{"--version"})
	var out strings.Builder
	root.SetOut(&out)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^prog \S+, wire version 9, go\S+ linux/\S+\n$`).MatchString(out.String()) {
		t.Errorf("--version prints %q", out.String())
	}
}
