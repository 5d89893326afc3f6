// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"sandstream/internal/shm"
)

// file is an SPA under construction: a well-formed one from newFile, which a
// test then spoils in one place.
type file struct {
	header  elf.Header64
	segs    []seg
	other   []elf.Prog64 // further program headers, written as they are
	relas   []elf.Rela64
	dynamic []elf.Dyn64 // further dynamic tags
	notes   []byte      // without the section: found by PT_NOTE
}

type seg struct {
	vaddr, memsz uint64
	flags        elf.ProgFlag
	data         []byte
}

func newManifest() shm.Manifest {
	m := shm.Manifest{ABI: shm.ABIVersion, Flags: shm.ManifestSerial, Stack: 8192, TickUS: 1000, Heap: 1 << 20}
	copy(m.Name[:], "echo")
	copy(m.Version[:], "1.2")
	return m
}

func note(typ uint32, desc any) []byte {
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

// newFile is text at the start of the image window, read-only data with a
// relocation table, data with one pointer, and a manifest.
func newFile() *file {
	p := shm.NoteParam{Type: shm.ParamU64, Def: 7}
	copy(p.Name[:], "limit")
	copy(p.Help[:], "frames in flight")
	c := shm.NoteCounter{}
	copy(c.Name[:], "drops")
	f := &file{
		segs: []seg{
			{shm.OffImage, 0x20, elf.PF_R | elf.PF_X, bytes.Repeat([]byte{0x90}, 0x20)},
			{shm.OffImage + 0x1000, 0x1000, elf.PF_R, nil}, // build fills it
			{shm.OffImage + 0x2000, 0x3000, elf.PF_R | elf.PF_W, make([]byte, 0x40)},
		},
		relas: []elf.Rela64{{
			Off: shm.OffImage + 0x2010, Info: uint64(elf.R_X86_64_RELATIVE), Addend: shm.OffImage + 8,
		}},
		notes: slicesConcat(note(shm.NTManifest, newManifest()), note(shm.NTParam, p), note(shm.NTCounter, c)),
	}
	copy(f.header.Ident[:], elf.ELFMAG)
	f.header.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	f.header.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	f.header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	f.header.Type = uint16(elf.ET_DYN)
	f.header.Machine = uint16(elf.EM_X86_64)
	f.header.Version = uint32(elf.EV_CURRENT)
	f.header.Entry = shm.OffImage + 4
	f.header.Ehsize, f.header.Phentsize = 64, 56
	return f
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// build lays the file out: header, program headers, notes, then each segment's
// data, without gaps to keep the corpus small. Relocations and dynamic tags
// stand in segment 1.
func (f *file) build() []byte {
	var ro bytes.Buffer
	for _, r := range f.relas {
		binary.Write(&ro, binary.LittleEndian, r)
	}
	dynAt := uint64(ro.Len())
	dyn := append([]elf.Dyn64(nil), f.dynamic...)
	if len(f.relas) > 0 {
		dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_RELA), Val: f.segs[1].vaddr},
			elf.Dyn64{Tag: int64(elf.DT_RELASZ), Val: dynAt}, elf.Dyn64{Tag: int64(elf.DT_RELAENT), Val: 24})
	}
	dyn = append(dyn, elf.Dyn64{})
	for _, d := range dyn {
		binary.Write(&ro, binary.LittleEndian, d)
	}
	segs := append([]seg(nil), f.segs...)
	if len(segs) > 1 && segs[1].data == nil {
		segs[1].data = ro.Bytes()
	}

	progs := append([]elf.Prog64(nil), f.other...)
	notesAt := uint64(64 + 56*(len(progs)+len(segs)+3))
	out := make([]byte, notesAt)
	out = append(out, f.notes...)
	for i, s := range segs {
		progs = append(progs, elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(s.flags), Off: uint64(len(out)),
			Vaddr: s.vaddr, Filesz: uint64(len(s.data)), Memsz: s.memsz, Align: pageSize,
		})
		if i == 1 {
			progs = append(progs, elf.Prog64{
				Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R), Off: uint64(len(out)) + dynAt,
				Vaddr: s.vaddr + dynAt, Filesz: uint64(16 * len(dyn)), Memsz: uint64(16 * len(dyn)), Align: 8,
			})
		}
		out = append(out, s.data...)
	}
	if f.notes != nil {
		progs = append(progs, elf.Prog64{
			Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: notesAt,
			Filesz: uint64(len(f.notes)), Memsz: uint64(len(f.notes)), Align: 4,
		})
	}
	h := f.header
	h.Phoff, h.Phnum = 64, uint16(len(progs))
	var head bytes.Buffer
	binary.Write(&head, binary.LittleEndian, h)
	for _, p := range progs {
		binary.Write(&head, binary.LittleEndian, p)
	}
	copy(out, head.Bytes())
	return out
}
