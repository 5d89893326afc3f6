// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"fmt"
	"os"
	"strings"
)

// A Variant is a kernel configuration: tinyconfig plus fragments, the last word
// about a symbol wins.
type Variant struct {
	Name      string   // "lab", "debug"
	Fragments []string // file names in kernel-patches/config
	Objects   int      // objects a full build compiles, for the first progress bar
	Minutes   float64  // minutes that a full build takes on two cores, measured
}

// Variants are the kernels this project builds.
var Variants = []Variant{
	{Name: "lab", Fragments: []string{"lab.config"}, Objects: 1343, Minutes: 5},
	{Name: "debug", Fragments: []string{"lab.config", "debug.config"}, Objects: 1400, Minutes: 8},
}

// FindVariant returns the variant of that name.
func FindVariant(name string) (Variant, error) {
	var names []string
	for _, v := range Variants {
		if v.Name == name {
			return v, nil
		}
		names = append(names, v.Name)
	}
	return Variant{}, fmt.Errorf("no kernel variant %q: have %s", name, strings.Join(names, ", "))
}

// A setting is what a fragment says about one symbol: "CONFIG_X=value", or
// "# CONFIG_X is not set".
type setting struct {
	symbol string // CONFIG_X
	line   string // the line as .config must carry it
	where  string // file:line, for messages
}

func (s setting) off() bool { return strings.HasPrefix(s.line, "#") }

// readFragments returns the settings of the files, one per symbol; a later one
// replaces an earlier one.
func readFragments(paths []string) ([]setting, error) {
	var all []setting
	at := map[string]int{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for n, line := range strings.Split(string(data), "\n") {
			line = strings.TrimSpace(line)
			s := setting{line: line, where: fmt.Sprintf("%s:%d", path, n+1)}
			if name, ok := strings.CutSuffix(line, " is not set"); ok && strings.HasPrefix(line, "# CONFIG_") {
				s.symbol = strings.TrimPrefix(name, "# ")
			} else if strings.HasPrefix(line, "CONFIG_") {
				var ok bool
				if s.symbol, _, ok = strings.Cut(line, "="); !ok {
					return nil, fmt.Errorf("%s: %q has no value", s.where, line)
				}
			} else if line == "" || strings.HasPrefix(line, "#") {
				continue
			} else {
				return nil, fmt.Errorf("%s: %q is neither a setting nor a comment", s.where, line)
			}
			if i, ok := at[s.symbol]; ok {
				all[i] = s
				continue
			}
			at[s.symbol] = len(all)
			all = append(all, s)
		}
	}
	return all, nil
}

// checkConfig verifies that every setting survived into the text of a .config.
// Kconfig drops, without a word, symbols that do not exist or whose dependencies
// are off; a kernel without them would fail much later and far from the cause.
func checkConfig(config string, want []setting) error {
	lines := map[string]string{}
	for _, line := range strings.Split(config, "\n") {
		if name, ok := strings.CutSuffix(line, " is not set"); ok {
			lines[strings.TrimPrefix(name, "# ")] = line
		} else if name, _, ok := strings.Cut(line, "="); ok {
			lines[name] = line
		}
	}
	var lost []string
	for _, s := range want {
		got, ok := lines[s.symbol]
		if got == s.line || (!ok && s.off()) {
			continue
		}
		if !ok {
			got = "nothing (no such symbol, or a dependency is off)"
		}
		lost = append(lost, fmt.Sprintf("%s: wants %q, .config has %s", s.where, s.line, got))
	}
	if lost != nil {
		return fmt.Errorf("the kernel configuration lost %d fragment lines:\n  %s", len(lost), strings.Join(lost, "\n  "))
	}
	return nil
}
