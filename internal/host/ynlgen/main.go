// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

func main() {
	spec := flag.String("spec", "", "netlink specification (YAML)")
	shm := flag.String("shm", "", "C header of the shared memory")
	goDir := flag.String("go", "", "folder of the Go package to write")
	doc := flag.String("doc", "", "document to write")
	flag.Parse()
	if *spec == "" || *shm == "" || *goDir == "" || *doc == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*spec, *shm, *goDir, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "ynlgen:", err)
		os.Exit(1)
	}
}

func run(spec, shm, goDir, doc string) error {
	family, err := readSpec(spec)
	if err != nil {
		return err
	}
	header, err := readHeader(shm)
	if err != nil {
		return err
	}
	if err := writeGo(filepath.Join(goDir, "netlink.go"), goNetlink(family)); err != nil {
		return err
	}
	src, err := goShm(header)
	if err != nil {
		return fmt.Errorf("%s: %w", shm, err)
	}
	if err := writeGo(filepath.Join(goDir, "shm.go"), src); err != nil {
		return err
	}
	return os.WriteFile(doc, []byte(markdown(family)), 0o644)
}

// writeGo formats src and writes it; source that does not parse is a bug of
// the generator and is shown.
func writeGo(path, src string) error {
	out, err := format.Source([]byte(src))
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", path, err, src)
	}
	return os.WriteFile(path, out, 0o644)
}
