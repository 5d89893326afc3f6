// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestFragments(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"one": "# A reason.\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n",
		"two": "CONFIG_B=y\n",
		"bad": "CONFIG_A\n",
		"odd": "A=y\n",
	})
	want, err := readFragments([]string{filepath.Join(dir, "one"), filepath.Join(dir, "two")})
	if err != nil {
		t.Fatal(err)
	}
	for config, lost := range map[string]string{
		"CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n": "",
		"CONFIG_A=y\nCONFIG_B=y\n":                        "", // a symbol that is gone is off
		"CONFIG_A=m\nCONFIG_B=y\n":                        "CONFIG_A",
		"CONFIG_A=y\nCONFIG_B=m\n":                        "CONFIG_B", // the later fragment wins
		"CONFIG_A=y\n":                                    "CONFIG_B",
		"CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n":            "CONFIG_C",
		"CONFIG_A=y\n# CONFIG_B is not set\n":             "CONFIG_B",
	} {
		err := checkConfig(config, want)
		if lost == "" && err != nil {
			t.Errorf("%q: %v", config, err)
		}
		if lost != "" && (err == nil || !strings.Contains(err.Error(), lost) || !strings.Contains(err.Error(), dir)) {
			t.Errorf("%q: got %v, want a message about %s that names the fragment", config, err, lost)
		}
	}
	for _, name := range []string{"bad", "odd", "absent"} {
		if _, err := readFragments([]string{filepath.Join(dir, name)}); err == nil {
			t.Errorf("fragment %q was accepted", name)
		}
	}
}

// The project's own fragments must at least parse, and have no symbol twice.
func TestOwnFragments(t *testing.T) {
	for _, v := range Variants {
		for _, f := range v.Fragments {
			path := filepath.Join("..", "..", "kernel-patches", "config", f)
			if s, err := readFragments([]string{path}); err != nil || len(s) == 0 {
				t.Errorf("%s: %d settings, %v", f, len(s), err)
			}
		}
	}
}

func TestRepairRemovesWhatAKilledBuildMade(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{"old/a.o": "whole", "old/vmlinux": "whole"})
	if err := repair(dir); err != nil || len(tree(t, dir)) != 2 {
		t.Fatalf("a build that ended well was changed: %v, %v", tree(t, dir), err)
	}
	past := time.Now().Add(-time.Hour)
	for _, f := range []string{"old/a.o", "old/vmlinux"} {
		if err := os.Chtimes(filepath.Join(dir, f), past, past); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir, map[string]string{buildingName: ""})
	put(t, dir, map[string]string{"b.o": "ha", "lib.a": "ha", "vmlinux.o": "ha", "boot/bzImage": "ha", "auto.conf": "x", "old/gen.h": "x"})
	if err := repair(dir); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"old/a.o": "whole", "old/vmlinux": "whole", "auto.conf": "x", "old/gen.h": "x"}
	if got := tree(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

func TestTailWriterCountsObjects(t *testing.T) {
	p := newProgress(&strings.Builder{}, "x", 10, false)
	w := &tailWriter{progress: p}
	for _, part := range []string{"  CC      a.o\n  A", "S      b.o\n  LD      vmlinux\n", "a.c:3: error: no\n  CC [M]  c.o\n"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if p.count != 3 {
		t.Errorf("counted %d objects, want 3", p.count)
	}
	if got := w.String(); !strings.Contains(got, "a.c:3: error: no") || strings.Contains(got, "vmlinux") {
		t.Errorf("the tail is %q", got)
	}
}
