// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// header is what the C compiler makes of the shared memory's header.
type header struct {
	text    string
	macros  []macro
	enums   []*dwarf.EnumType
	structs []*dwarf.StructType
}

type macro struct {
	name    string // without the prefix
	value   uint64
	comment string
}

var (
	macroLine  = regexp.MustCompile(`(?m)^#define ULS_([A-Z0-9_]+)[ \t]+(\S.*)$`)
	enumLine   = regexp.MustCompile(`(?m)^enum (uls_\w+) \{`)
	structLine = regexp.MustCompile(`(?m)^struct (uls_\w+) \{`)
	remark     = regexp.MustCompile(`/\*\s*(.*?)\s*\*/`)
)

// readHeader compiles a probe that includes the header: a constant for every
// macro, a variable for every type. Values are read from the object's data,
// layouts from its DWARF, so nothing about C is guessed here.
func readHeader(path string) (*header, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	h := &header{text: string(raw)}
	dir, err := os.MkdirTemp("", "ynlgen")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}

	var c strings.Builder
	fmt.Fprintf(&c, "#include %q\n", abs)
	for _, m := range macroLine.FindAllStringSubmatch(h.text, -1) {
		fmt.Fprintf(&c, "const unsigned long long macro_%s = (unsigned long long)(ULS_%s);\n", m[1], m[1])
		comment := ""
		if r := remark.FindStringSubmatch(m[2]); r != nil {
			comment = r[1]
		}
		h.macros = append(h.macros, macro{name: m[1], comment: comment})
	}
	enums := enumLine.FindAllStringSubmatch(h.text, -1)
	for _, m := range enums {
		fmt.Fprintf(&c, "enum %s enum_%s;\n", m[1], m[1])
	}
	structs := structLine.FindAllStringSubmatch(h.text, -1)
	for _, m := range structs {
		fmt.Fprintf(&c, "struct %s struct_%s;\n", m[1], m[1])
	}
	src, obj := filepath.Join(dir, "probe.c"), filepath.Join(dir, "probe.o")
	if err := os.WriteFile(src, []byte(c.String()), 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command("gcc", "-g", "-c", "-o", obj, src).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("probe of %s: %w\n%s", path, err, out)
	}
	if err := h.readObject(obj); err != nil {
		return nil, fmt.Errorf("probe of %s: %w", path, err)
	}
	if len(h.enums) != len(enums) || len(h.structs) != len(structs) {
		return nil, fmt.Errorf("probe of %s: found %d of %d enumerations, %d of %d structures",
			path, len(h.enums), len(enums), len(h.structs), len(structs))
	}
	return h, nil
}

func (h *header) readObject(obj string) error {
	f, err := elf.Open(obj)
	if err != nil {
		return err
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		return err
	}
	values := map[string]uint64{}
	for _, s := range syms {
		name, ok := strings.CutPrefix(s.Name, "macro_")
		if !ok {
			continue
		}
		data, err := f.Sections[s.Section].Data()
		if err != nil {
			return err
		}
		values[name] = f.ByteOrder.Uint64(data[s.Value:])
	}
	for i := range h.macros {
		v, ok := values[h.macros[i].name]
		if !ok {
			return fmt.Errorf("no value for ULS_%s", h.macros[i].name)
		}
		h.macros[i].value = v
	}
	d, err := f.DWARF()
	if err != nil {
		return err
	}
	return h.readTypes(d)
}

// readTypes follows the probe's variables to their types.
func (h *header) readTypes(d *dwarf.Data) error {
	r := d.Reader()
	for {
		e, err := r.Next()
		if err != nil || e == nil {
			return err
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		off, ok := e.Val(dwarf.AttrType).(dwarf.Offset)
		if e.Tag != dwarf.TagVariable || !ok {
			continue
		}
		t, err := d.Type(off)
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case *dwarf.EnumType:
			h.enums = append(h.enums, t)
		case *dwarf.StructType:
			if t.Incomplete {
				return errors.New("incomplete struct " + t.StructName)
			}
			h.structs = append(h.structs, t)
		default:
			if !strings.HasPrefix(name, "macro_") {
				return fmt.Errorf("variable %s has type %v", name, t)
			}
		}
	}
}

// fieldComment finds what the header says about a member of a structure.
func (h *header) fieldComment(structName, field string) string {
	_, body, ok := strings.Cut("\n"+h.text, "\nstruct "+structName+" {")
	if !ok {
		return ""
	}
	body, _, _ = strings.Cut(body, "\n}")
	for line := range strings.SplitSeq(body, "\n") {
		decl, rest, ok := strings.Cut(line, ";")
		if !ok || !regexp.MustCompile(`\b`+field+`\b`).MatchString(decl) {
			continue
		}
		if r := remark.FindStringSubmatch(rest); r != nil {
			return r[1]
		}
	}
	return ""
}
