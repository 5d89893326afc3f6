// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"embed"
	"fmt"
	"strings"
)

// The modules are committed, so that a build needs no C compiler; a test
// compiles the sources again and compares.
//
//go:embed wasm/*.wasm
var modules embed.FS

// Module is a shipped SPA's WebAssembly.
func Module(name string) ([]byte, error) {
	b, err := modules.ReadFile("wasm/" + name + ".wasm")
	if err != nil {
		return nil, fmt.Errorf("SPA %q: %w; there are: %s", name, ErrUnknownSPA, strings.Join(Shipped(), ", "))
	}
	return b, nil
}

// Shipped are the names of the SPAs that come with the daemon, sorted.
func Shipped() []string {
	entries, err := modules.ReadDir("wasm")
	if err != nil {
		return nil // embedded: it is there
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".wasm"))
	}
	return names
}
