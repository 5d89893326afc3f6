// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/dwarf"
	"fmt"
	"strings"
)

// goShm writes the shared memory's constants and structures as Go source.
func goShm(h *header) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, goHeader, "kmod/uapi/uls_shm.h")
	b.WriteString("package abi\n\nimport \"unsafe\"\n\n")
	b.WriteString("// Constants: versions, sizes, offsets in a slice, flags, pseudo-vectors.\nconst (\n")
	for _, m := range h.macros {
		fmt.Fprintf(&b, "%s = %#x%s\n", camel(m.name), m.value, trailing(m.comment))
	}
	b.WriteString(")\n\n")
	for _, e := range h.enums {
		shmEnum(&b, e)
	}
	for _, s := range h.structs {
		if err := shmStruct(&b, h, s); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func shmEnum(b *strings.Builder, e *dwarf.EnumType) {
	name := camel(strings.TrimPrefix(e.EnumName, "uls_"))
	fmt.Fprintf(b, "// %s is enum %s.\ntype %s uint32\n\nconst (\n", name, e.EnumName, name)
	for _, v := range e.Val {
		fmt.Fprintf(b, "%s %s = %d\n", camel(strings.TrimPrefix(v.Name, "ULS_")), name, v.Val)
	}
	fmt.Fprintf(b, ")\n\n// String names the value: the last word of its C name.\nfunc (v %s) String() string {\nswitch v {\n", name)
	for _, v := range e.Val {
		short := strings.TrimPrefix(v.Name, "ULS_")
		_, short, _ = strings.Cut(short, "_")
		fmt.Fprintf(b, "case %s:\nreturn %q\n", camel(strings.TrimPrefix(v.Name, "ULS_")),
			strings.ReplaceAll(strings.ToLower(short), "_", "-"))
	}
	fmt.Fprintf(b, "}\nreturn \"unknown\"\n}\n\n")
}

// shmStruct writes one structure, and refuses one that Go would lay out
// differently. A trailing array without length has no Go counterpart and is
// left out. Members whose remark begins with "be" are byte arrays: they are in
// network byte order.
func shmStruct(b *strings.Builder, h *header, s *dwarf.StructType) error {
	name := structName(s)
	var pos int64
	fmt.Fprintf(b, "// %s is struct %s, %d bytes.\ntype %s struct {\n", name, s.StructName, s.ByteSize, name)
	for _, f := range s.Field {
		if a, ok := f.Type.(*dwarf.ArrayType); ok && a.Count <= 0 {
			continue
		}
		remark := h.fieldComment(s.StructName, f.Name)
		t, size, align, err := goType(f.Type)
		if err != nil {
			return fmt.Errorf("struct %s, %s: %w", s.StructName, f.Name, err)
		}
		if remark == "be" || strings.HasPrefix(remark, "be;") || strings.HasPrefix(remark, "be ") {
			t, align = fmt.Sprintf("[%d]byte", size), 1
		}
		if pos = (pos + align - 1) / align * align; pos != f.ByteOffset {
			return fmt.Errorf("struct %s, %s: C offset %d, Go offset %d", s.StructName, f.Name, f.ByteOffset, pos)
		}
		pos += size
		fmt.Fprintf(b, "%s %s%s\n", camel(f.Name), t, trailing(remark))
	}
	if pos != s.ByteSize {
		return fmt.Errorf("struct %s: %d bytes in C, %d in Go", s.StructName, s.ByteSize, pos)
	}
	fmt.Fprintf(b, "}\n\nvar _ = [1]struct{}{}[unsafe.Sizeof(%s{})-%d]\n\n", name, s.ByteSize)
	return nil
}

// structName keeps structures apart from enumeration values of the same name.
func structName(t *dwarf.StructType) string {
	return "Shm" + camel(strings.TrimPrefix(t.StructName, "uls_"))
}

// trailing is a comment at the end of a line, if there is anything to say.
func trailing(remark string) string {
	if remark == "" {
		return ""
	}
	return " // " + remark
}

// goType gives Go's name, size and alignment of a C type.
func goType(t dwarf.Type) (name string, size, align int64, err error) {
	switch t := t.(type) {
	case *dwarf.TypedefType:
		return goType(t.Type)
	case *dwarf.UintType, *dwarf.UcharType:
		n := t.Size()
		return fmt.Sprintf("uint%d", 8*n), n, n, nil
	case *dwarf.CharType:
		return "byte", 1, 1, nil
	case *dwarf.ArrayType:
		elem, size, align, err := goType(t.Type)
		return fmt.Sprintf("[%d]%s", t.Count, elem), size * t.Count, align, err
	case *dwarf.StructType:
		align := int64(1)
		for _, f := range t.Field {
			_, _, a, err := goType(f.Type)
			if err != nil {
				return "", 0, 0, err
			}
			align = max(align, a)
		}
		return structName(t), t.ByteSize, align, nil
	}
	return "", 0, 0, fmt.Errorf("no Go type for %v", t)
}
