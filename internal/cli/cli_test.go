// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestStrict(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"--nonsense"}, {"sub", "extra"}, {"sub", "--bad"}} {
		root := &cobra.Command{Use: "r", SilenceUsage: true, SilenceErrors: true, RunE: func(*cobra.Command, []string) error { return nil }}
		root.AddCommand(&cobra.Command{Use: "sub", Args: NoArgs, RunE: func(*cobra.Command, []string) error { return nil }})
		Strict(root)
		root.SetArgs(args)
		var out strings.Builder
		if got := Report(&out, root.Execute()); got != 2 {
			t.Errorf("%v: status %d (%s), want 2", args, got, out.String())
		}
	}
}
