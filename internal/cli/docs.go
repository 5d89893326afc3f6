// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// DocsCommand writes what a package of the program installs beside it: manual
// pages of section 8 (manual names the book) and shell completions. It is
// hidden: make targets and packagers use it.
func DocsCommand(manual string) *cobra.Command {
	return &cobra.Command{
		Use:    "gen-docs FOLDER",
		Short:  "Write man pages and shell completions",
		Hidden: true,
		Args:   Args("FOLDER"),
		RunE: func(cmd *cobra.Command, a []string) error {
			root := cmd.Root()
			man := filepath.Join(a[0], "man")
			if err := os.MkdirAll(man, 0o755); err != nil {
				return err
			}
			// A fixed date: the same sources give the same pages.
			date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			header := &doc.GenManHeader{Section: "8", Source: "Sandstream", Manual: manual, Date: &date}
			if err := doc.GenManTree(root, header, man); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			return completions(root, filepath.Join(a[0], "completion"))
		},
	}
}

func completions(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, gen := range map[string]func(string) error{
		root.Name() + ".bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		"_" + root.Name():     root.GenZshCompletionFile,
		root.Name() + ".fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
	} {
		if err := gen(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("write completion %s: %w", name, err)
		}
	}
	return nil
}
