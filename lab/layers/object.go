// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"debug/elf"
	"fmt"
	"maps"
	"slices"
)

// An object is what one compiled file offers to others and takes from them.
type object struct {
	defines map[string]elf.SymType // global symbols
	uses    []string               // undefined symbols that its instructions refer to
}

func readObject(path string) (*object, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Class != elf.ELFCLASS64 || f.Type != elf.ET_REL {
		return nil, fmt.Errorf("%s is no 64-bit object file", path)
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o := &object{defines: map[string]elf.SymType{}}
	for _, s := range symbols {
		if elf.ST_BIND(s.Info) != elf.STB_LOCAL && s.Section != elf.SHN_UNDEF {
			o.defines[s.Name] = elf.ST_TYPE(s.Info)
		}
	}
	uses := map[string]bool{}
	for _, section := range f.Sections {
		if section.Type != elf.SHT_RELA || int(section.Info) >= len(f.Sections) ||
			f.Sections[section.Info].Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		data, err := section.Data()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, section.Name, err)
		}
		const size = 24 // of an Elf64_Rela
		for ; len(data) >= size; data = data[size:] {
			n := elf.R_SYM64(f.ByteOrder.Uint64(data[8:]))
			// Symbols leaves the null symbol, number 0, out.
			if n == 0 || int(n) > len(symbols) {
				continue
			}
			if s := symbols[n-1]; s.Section == elf.SHN_UNDEF && s.Name != "" {
				uses[s.Name] = true
			}
		}
	}
	o.uses = slices.Sorted(maps.Keys(uses))
	return o, nil
}
