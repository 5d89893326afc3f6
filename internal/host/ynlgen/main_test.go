// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

// What is committed must be what the sources give today.
func TestCommittedFilesAreUpToDate(t *testing.T) {
	dir := t.TempDir()
	doc := filepath.Join(dir, "abi.md")
	err := run(filepath.Join(root, "kmod/uapi/uls.yaml"), filepath.Join(root, "kmod/uapi/uls_shm.h"), dir, doc)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		filepath.Join(dir, "netlink.go"): "uls/internal/abi/netlink.go",
		filepath.Join(dir, "shm.go"):     "uls/internal/abi/shm.go",
		doc:                              "docs/abi.md",
	} {
		a, err := os.ReadFile(got)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(root, want))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is out of date: make abi", want)
		}
	}
}

// The C constants of the family, by the kernel's generator, and the Go ones,
// by this, number the same things.
func TestNumbersAgreeWithC(t *testing.T) {
	spec, err := readSpec(filepath.Join(root, "kmod/uapi/uls.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(filepath.Join(root, "kmod/generated/uapi/linux/uls_netlink.h"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]uint64{}
	for _, m := range h.macros {
		have[m.name] = m.value
	}
	for _, d := range spec.Definitions {
		if d.Type != "const" {
			continue
		}
		name := strings.ToUpper(strings.ReplaceAll(d.Name, "-", "_"))
		if have[name] != d.Value {
			t.Errorf("%s: %d in the specification, %d in C", name, d.Value, have[name])
		}
	}
	enums := 0
	for _, e := range h.enums {
		d := spec.definition(strings.ReplaceAll(strings.TrimPrefix(e.EnumName, "uls_"), "_", "-"))
		if d == nil {
			t.Errorf("enum %s is not in the specification", e.EnumName)
			continue
		}
		for i, x := range d.Entries {
			want := int64(d.ValueStart) + int64(i)
			if d.Type == "flags" {
				want = 1 << want
			}
			if e.Val[i].Val != want {
				t.Errorf("%s.%s: %d in the specification, %d in C", d.Name, x.Name, want, e.Val[i].Val)
			}
		}
		enums++
	}
	if enums == 0 {
		t.Error("no enumeration compared")
	}
}

func TestOperationsAreNumbered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec.yaml")
	const text = "name: x\nprotocol: genetlink\n" +
		"operations: {list: [{name: a, notify: n}, {name: b, notify: n, value: 7}, {name: c, notify: n}]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := readSpec(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint8{1, 7, 8} {
		if got := s.Operations.List[i].Value; got != want {
			t.Errorf("operation %d has value %d, want %d", i, got, want)
		}
	}
}

func TestBadSpecificationsAreRefused(t *testing.T) {
	const head = "name: x\nprotocol: genetlink\n"
	for name, tc := range map[string]struct{ spec, want string }{
		"unknown key":        {head + "colour: red\n", "colour"},
		"other protocol":     {"name: x\nprotocol: genetlink-c\n", "only genetlink"},
		"nest without a set": {head + "attribute-sets:\n- {name: a, attributes: [{name: n, type: nest, nested-attributes: b}]}\n", `no attribute set "b"`},
		"enum without definition": {
			head + "attribute-sets:\n- {name: a, attributes: [{name: n, type: u32, enum: e}]}\n", `no definition "e"`,
		},
		"operation without a set": {head + "operations: {list: [{name: o, attribute-set: a}]}\n", `no attribute set "a"`},
		"operation numbered backwards": {
			head + "operations: {list: [{name: o, notify: n, value: 3}, {name: p, notify: n, value: 3}]}\n", "value 3 after 3",
		},
		"operation with unknown attribute": {
			head + "attribute-sets:\n- {name: a, attributes: []}\n" +
				"operations: {list: [{name: o, attribute-set: a, do: {request: {attributes: [z]}}}]}\n", `no attribute "z"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "spec.yaml")
			if err := os.WriteFile(path, []byte(tc.spec), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readSpec(path)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestLayouts(t *testing.T) {
	for name, tc := range map[string]struct{ c, want, err string }{
		"hidden padding in the middle": {"struct uls_x {\n\tunsigned char a;\n\tunsigned long b __attribute__((packed, aligned(2)));\n};\n", "", "C offset 2, Go offset 8"},
		"hidden padding at the end":    {"struct uls_x {\n\tunsigned long a;\n\tunsigned int b;\n};\n", "", "16 bytes in C, 12 in Go"},
		"pointer":                      {"struct uls_x {\n\tvoid *a;\n};\n", "", "no Go type"},
		"network byte order":           {"struct uls_x {\n\tunsigned int a;\t/* be */\n};\n", "A [4]byte", ""},
		"flexible array":               {"struct uls_x {\n\tunsigned int a;\n\tunsigned int b[];\n};\n", "A uint32\n}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.h")
			if err := os.WriteFile(path, []byte(tc.c), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := readHeader(path)
			if err != nil {
				t.Fatal(err)
			}
			src, err := goShm(h)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil || !strings.Contains(src, tc.want) {
				t.Fatalf("%v, %s: want %q", err, src, tc.want)
			}
		})
	}
}

func TestHeaderThatDoesNotCompile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.h")
	if err := os.WriteFile(path, []byte("#define ULS_X nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readHeader(path); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Fatalf("error %v, want the compiler's words", err)
	}
}
