// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"debug/elf"
	"encoding/binary"

	"sandstream/internal/host/shm"
)

const relaSize = 24

// dynamic reads PT_DYNAMIC: the tags are what a loader goes by, and they are
// there in a stripped file as well.
func (p *parser) dynamic() (map[elf.DynTag]uint64, error) {
	var tags map[elf.DynTag]uint64
	for _, h := range p.elf.Progs {
		if h.Type != elf.PT_DYNAMIC {
			continue
		}
		if tags != nil {
			return nil, p.errorf("has two dynamic sections")
		}
		tags = map[elf.DynTag]uint64{}
		for d := p.data[h.Off : h.Off+h.Filesz]; len(d) >= 16; d = d[16:] {
			tag := elf.DynTag(binary.LittleEndian.Uint64(d))
			if tag == elf.DT_NULL {
				break
			}
			if _, twice := tags[tag]; twice && tag != elf.DT_NEEDED {
				return nil, p.errorf("dynamic tag %v occurs twice", tag)
			}
			tags[tag] = binary.LittleEndian.Uint64(d[8:])
		}
	}
	return tags, nil
}

const (
	dtRelrSize = elf.DynTag(35)
	dtRelr     = elf.DynTag(36)
)

// relocations accepts R_X86_64_RELATIVE in RELA form, within the file's part of
// a segment that is not text, and nothing else.
func (p *parser) relocations() error {
	tags, err := p.dynamic()
	if err != nil {
		return err
	}
	if _, ok := tags[elf.DT_NEEDED]; ok {
		return p.errorf("needs a shared library; an SPA is linked static-pie")
	}
	if tags[elf.DT_RELSZ] != 0 || tags[elf.DT_PLTRELSZ] != 0 {
		return p.errorf("has relocations other than RELATIVE ones with addend (a symbol was left undefined or bound at run time)")
	}
	if tags[dtRelrSize] != 0 || tags[dtRelr] != 0 {
		return p.errorf("has packed relocations (DT_RELR); link with -z nopack-relative-relocs")
	}
	size, addr := tags[elf.DT_RELASZ], tags[elf.DT_RELA]
	if size == 0 {
		return nil
	}
	if ent, ok := tags[elf.DT_RELAENT]; ok && ent != relaSize {
		return p.errorf("its relocations have %d bytes each, not %d", ent, relaSize)
	}
	if size%relaSize != 0 {
		return p.errorf("its relocation table has %d bytes, not a multiple of %d", size, relaSize)
	}
	i, at, ok := p.locate(addr, size)
	if !ok {
		return p.errorf("truncated: its relocation table (%d bytes at %#x) is not in the file", size, addr)
	}
	for d := p.img.Segments[i].Data[at : at+size]; len(d) > 0; d = d[relaSize:] {
		if err := p.relocation(d); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) relocation(d []byte) error {
	off := binary.LittleEndian.Uint64(d)
	info := binary.LittleEndian.Uint64(d[8:])
	addend := binary.LittleEndian.Uint64(d[16:])
	switch t := elf.R_X86_64(uint32(info)); {
	case t == elf.R_X86_64_NONE:
		return nil
	case t != elf.R_X86_64_RELATIVE:
		return p.errorf("relocation %v at %#x; only R_X86_64_RELATIVE is allowed (is a symbol undefined?)", t, off)
	case info>>32 != 0:
		return p.errorf("relocation at %#x names a symbol; an SPA is linked static-pie", off)
	}
	i, at, ok := p.locate(off, 8)
	if !ok {
		return p.errorf("relocation at %#x lies outside the file's part of the segments", off)
	}
	if p.img.Segments[i].Prot&Exec != 0 {
		return p.errorf("relocation at %#x changes text; compile with -fPIE", off)
	}
	if addend >= shm.SliceSize {
		return p.errorf("relocation at %#x points to %#x, outside of the slice", off, addend)
	}
	p.img.relocs = append(p.img.relocs, reloc{i, at, addend})
	return nil
}

// locate finds the segment whose file part holds n bytes at address addr.
func (p *parser) locate(addr, n uint64) (seg int, at uint64, ok bool) {
	for i, s := range p.img.Segments {
		have := uint64(len(s.Data))
		if addr >= s.Offset && n <= have && addr-s.Offset <= have-n {
			return i, addr - s.Offset, true
		}
	}
	return 0, 0, false
}
