// SPDX-License-Identifier: Apache-2.0

// Package spatest builds SPA files for tests: a well-formed one, which a test then
// spoils in one place.
package spatest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"sandstream/internal/host/shm"
)

// Builder is an SPA under construction: a well-formed one from New.
type Builder struct {
	Header  elf.Header64
	Segs    []Seg
	Other   []elf.Prog64 // further program headers, written as they are
	Relas   []elf.Rela64
	Dynamic []elf.Dyn64 // further dynamic tags
	Notes   []byte      // without a section: found by PT_NOTE
}

// Seg is a PT_LOAD segment.
type Seg struct {
	Vaddr, Memsz uint64
	Flags        elf.ProgFlag
	Data         []byte
}

// Manifest is that of New.
func Manifest() shm.Manifest {
	m := shm.Manifest{ABI: shm.ABIVersion, Flags: shm.ManifestSerial, Stack: 8192, TickUS: 1000, Heap: 1 << 20}
	copy(m.Name[:], "echo")
	copy(m.Version[:], "1.2")
	return m
}

// Note encodes a note of owner ULS.
func Note(typ uint32, desc any) []byte {
	var b bytes.Buffer
	d, err := binary.Append(nil, binary.LittleEndian, desc)
	if err != nil {
		panic(err)
	}
	for _, v := range []uint32{4, uint32(len(d)), typ} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("ULS\x00")
	b.Write(d)
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	return b.Bytes()
}

// New returns text at the start of the image window, read-only data with a
// relocation table, data with one pointer, and a manifest.
func New() *Builder {
	p := shm.NoteParam{Type: shm.ParamU64, Def: 7}
	copy(p.Name[:], "limit")
	copy(p.Help[:], "frames in flight")
	c := shm.NoteCounter{}
	copy(c.Name[:], "drops")
	f := &Builder{
		Segs: []Seg{
			{shm.OffImage, 0x20, elf.PF_R | elf.PF_X, bytes.Repeat([]byte{0x90}, 0x20)},
			{shm.OffImage + 0x1000, 0x1000, elf.PF_R, nil}, // Build fills it
			{shm.OffImage + 0x2000, 0x3000, elf.PF_R | elf.PF_W, make([]byte, 0x40)},
		},
		Relas: []elf.Rela64{{
			Off: shm.OffImage + 0x2010, Info: uint64(elf.R_X86_64_RELATIVE), Addend: shm.OffImage + 8,
		}},
		Notes: concat(Note(shm.NTManifest, Manifest()), Note(shm.NTParam, p), Note(shm.NTCounter, c)),
	}
	copy(f.Header.Ident[:], elf.ELFMAG)
	f.Header.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	f.Header.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	f.Header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	f.Header.Type = uint16(elf.ET_DYN)
	f.Header.Machine = uint16(elf.EM_X86_64)
	f.Header.Version = uint32(elf.EV_CURRENT)
	f.Header.Entry = shm.OffImage + 4
	f.Header.Ehsize, f.Header.Phentsize = 64, 56
	return f
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Build lays the file out: header, program headers, notes, then each segment's
// data, without gaps to keep the corpus small. Relocations and dynamic tags
// stand in segment 1.
func (f *Builder) Build() []byte {
	var ro bytes.Buffer
	for _, r := range f.Relas {
		binary.Write(&ro, binary.LittleEndian, r)
	}
	dynAt := uint64(ro.Len())
	dyn := append([]elf.Dyn64(nil), f.Dynamic...)
	if len(f.Relas) > 0 {
		dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_RELA), Val: f.Segs[1].Vaddr},
			elf.Dyn64{Tag: int64(elf.DT_RELASZ), Val: dynAt}, elf.Dyn64{Tag: int64(elf.DT_RELAENT), Val: 24})
	}
	dyn = append(dyn, elf.Dyn64{})
	for _, d := range dyn {
		binary.Write(&ro, binary.LittleEndian, d)
	}
	segs := append([]Seg(nil), f.Segs...)
	if len(segs) > 1 && segs[1].Data == nil {
		segs[1].Data = ro.Bytes()
	}

	progs := append([]elf.Prog64(nil), f.Other...)
	notesAt := uint64(64 + 56*(len(progs)+len(segs)+3))
	out := make([]byte, notesAt)
	out = append(out, f.Notes...)
	for i, s := range segs {
		progs = append(progs, elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(s.Flags), Off: uint64(len(out)),
			Vaddr: s.Vaddr, Filesz: uint64(len(s.Data)), Memsz: s.Memsz, Align: 4096,
		})
		if i == 1 {
			progs = append(progs, elf.Prog64{
				Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R), Off: uint64(len(out)) + dynAt,
				Vaddr: s.Vaddr + dynAt, Filesz: uint64(16 * len(dyn)), Memsz: uint64(16 * len(dyn)), Align: 8,
			})
		}
		out = append(out, s.Data...)
	}
	if f.Notes != nil {
		progs = append(progs, elf.Prog64{
			Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: notesAt,
			Filesz: uint64(len(f.Notes)), Memsz: uint64(len(f.Notes)), Align: 4,
		})
	}
	h := f.Header
	h.Phoff, h.Phnum = 64, uint16(len(progs))
	var head bytes.Buffer
	binary.Write(&head, binary.LittleEndian, h)
	for _, p := range progs {
		binary.Write(&head, binary.LittleEndian, p)
	}
	copy(out, head.Bytes())
	return out
}

// File returns a well-formed SPA "echo" with n bytes of data, whose last is 0xaa.
func File(n int) []byte {
	f := New()
	d := make([]byte, n)
	d[n-1] = 0xaa
	f.Segs[2].Data, f.Segs[2].Memsz = d, uint64(n)
	return f.Build()
}
