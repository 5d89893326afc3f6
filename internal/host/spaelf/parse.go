// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"sort"

	"sandstream/internal/host/shm"
)

// parser carries the file through the checks; each returns the first *Error.
type parser struct {
	name string
	data []byte
	elf  *elf.File
	img  *Image
}

// Parse checks an SPA file's content; name appears in errors.
func Parse(name string, data []byte) (*Image, error) {
	p := &parser{name: name, data: data, img: &Image{File: name}}
	for _, check := range []func() error{
		p.header, p.programHeaders, p.segments, p.entry, p.relocations, p.notes,
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return p.img, nil
}

func (p *parser) errorf(format string, args ...any) error {
	return &Error{p.name, fmt.Sprintf(format, args...)}
}

// header checks the 64 bytes at the start before debug/elf sees the file, so
// that the commonest mistakes get words of their own.
func (p *parser) header() error {
	d := p.data
	switch {
	case len(d) == 0:
		return p.errorf("the file is empty")
	case len(d) < 4 || string(d[:4]) != elf.ELFMAG:
		return p.errorf("not an ELF file")
	case len(d) < 64:
		return p.errorf("truncated: %d bytes are less than an ELF header", len(d))
	case elf.Class(d[elf.EI_CLASS]) != elf.ELFCLASS64:
		return p.errorf("a 32-bit ELF file (%v); an SPA is a 64-bit one", elf.Class(d[elf.EI_CLASS]))
	case elf.Data(d[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return p.errorf("not little endian; an SPA is for x86-64")
	}
	if m := elf.Machine(binary.LittleEndian.Uint16(d[18:])); m != elf.EM_X86_64 {
		return p.errorf("made for %v; an SPA is for x86-64 (EM_X86_64)", m)
	}
	if t := elf.Type(binary.LittleEndian.Uint16(d[16:])); t != elf.ET_DYN {
		return p.errorf("type %v; an SPA is linked static-pie (ET_DYN) with sandboxlib's linker script", t)
	}
	f, err := elf.NewFile(bytes.NewReader(d))
	if err != nil {
		return p.errorf("truncated or damaged: %v", err)
	}
	p.elf = f
	return nil
}

func (p *parser) programHeaders() error {
	var loads int
	for i, h := range p.elf.Progs {
		switch h.Type {
		case elf.PT_LOAD:
			loads++
		case elf.PT_INTERP:
			return p.errorf("asks for a dynamic loader; an SPA is linked static-pie")
		case elf.PT_TLS:
			return p.errorf("has thread-local variables (PT_TLS), which a sandbox does not have")
		case elf.PT_GNU_STACK:
			if h.Flags&elf.PF_X != 0 {
				return p.errorf("asks for an executable stack; link with -z noexecstack")
			}
		}
		if h.Filesz > uint64(len(p.data)) || h.Off > uint64(len(p.data))-h.Filesz {
			return p.errorf("truncated: program header %d (%v) ends at byte %d of a file of %d",
				i, h.Type, h.Off+h.Filesz, len(p.data))
		}
	}
	if loads == 0 {
		return p.errorf("has no loadable segment (is it stripped of its program headers?)")
	}
	if loads > maxSegments {
		return p.errorf("%d loadable segments, at most %d are allowed", loads, maxSegments)
	}
	return nil
}

func (p *parser) segments() error {
	for _, h := range p.elf.Progs {
		if h.Type != elf.PT_LOAD || h.Memsz == 0 {
			continue
		}
		s, err := p.segment(h)
		if err != nil {
			return err
		}
		p.img.Segments = append(p.img.Segments, s)
	}
	segs := p.img.Segments
	if len(segs) == 0 {
		return p.errorf("all its loadable segments are empty")
	}
	sort.Slice(segs, func(i, j int) bool { return segs[i].Offset < segs[j].Offset })
	for i := 1; i < len(segs); i++ {
		if end := segs[i-1].Offset + segs[i-1].Size; segs[i].Offset < end {
			return p.errorf("segments overlap: one ends at %#x, the next starts at %#x (pages are not shared: link with -z separate-code)",
				end, segs[i].Offset)
		}
	}
	return nil
}

func (p *parser) segment(h *elf.Prog) (Segment, error) {
	switch {
	case h.Vaddr%pageSize != 0:
		return Segment{}, p.errorf("segment at %#x does not start on a page (link with sandboxlib's script)", h.Vaddr)
	case h.Memsz < h.Filesz:
		return Segment{}, p.errorf("segment at %#x has %d bytes in memory but %d in the file", h.Vaddr, h.Memsz, h.Filesz)
	case h.Flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X:
		return Segment{}, p.errorf("segment at %#x is writable and executable; memory of a sandbox is never both", h.Vaddr)
	case h.Flags&elf.PF_R == 0:
		return Segment{}, p.errorf("segment at %#x is not readable", h.Vaddr)
	case h.Flags&^(elf.PF_R|elf.PF_W|elf.PF_X) != 0:
		return Segment{}, p.errorf("segment at %#x has unknown flags %#x", h.Vaddr, uint32(h.Flags))
	case h.Vaddr < shm.OffImage:
		return Segment{}, p.errorf("segment at %#x lies below the image window, which starts at %#x (link with sandboxlib's script)",
			h.Vaddr, uint64(shm.OffImage))
	case h.Memsz > shm.ImageMax || !inImage(h.Vaddr, roundUp(h.Memsz)):
		return Segment{}, p.errorf("too large for the region: segment at %#x of %d bytes does not fit the image window of %d bytes at %#x",
			h.Vaddr, h.Memsz, uint64(shm.ImageMax), uint64(shm.OffImage))
	}
	s := Segment{
		Offset: h.Vaddr,
		Size:   roundUp(h.Memsz),
		Prot:   Read,
		Data:   p.data[h.Off : h.Off+h.Filesz : h.Off+h.Filesz],
	}
	if h.Flags&elf.PF_W != 0 {
		s.Prot |= Write
	}
	if h.Flags&elf.PF_X != 0 {
		s.Prot |= Exec
	}
	return s, nil
}

func roundUp(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

func (p *parser) entry() error {
	e := p.elf.Entry
	for _, s := range p.img.Segments {
		// Code stands in the file: past Data there is only zero filling.
		if s.Prot&Exec != 0 && e >= s.Offset && e-s.Offset < uint64(len(s.Data)) {
			p.img.Entry = e
			return nil
		}
	}
	return p.errorf("entry %#x is not in its text", e)
}
