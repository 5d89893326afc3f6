// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const usage = "usage: go run ./internal/architecture deps | svg | rules | imports | calls | structs | cover | lint"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	root, err := moduleRoot()
	if err == nil {
		err = run(os.Args[1], root, os.Stdout)
	}
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "architecture: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("no such command")

// run executes one command in the module whose top folder is root.
func run(command, root string, w io.Writer) error {
	switch command {
	case "rules":
		return printRules(w)
	case "calls":
		return checkCalls(w, root)
	case "structs":
		return checkStructs(w, root)
	case "cover":
		return checkCover(w, root, covered)
	case "lint":
		return errors.Join(run("imports", root, w), run("calls", root, w), run("structs", root, w), run("cover", root, w))
	}
	g, err := load(root)
	if err != nil {
		return err
	}
	switch command {
	case "deps":
		return printText(w, g)
	case "svg":
		return drawPackages(w, g)
	case "imports":
		return checkImports(w, g)
	}
	return errUsage
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
