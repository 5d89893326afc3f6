// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"

	"sandstream/internal/host/shm"
)

// notes finds the notes of owner ULS, in the section .note.uls or, in a file
// stripped of its sections, in a PT_NOTE segment.
func (p *parser) notes() error {
	data, align, err := p.noteData()
	if err != nil {
		return err
	}
	var manifests int
	for len(data) > 0 {
		owner, typ, desc, rest, ok := nextNote(data, align)
		if !ok {
			return p.errorf("truncated: damaged notes in %s", shm.NoteSection)
		}
		data = rest
		if owner != shm.NoteOwner {
			continue
		}
		switch typ {
		case shm.NTManifest:
			manifests++
			err = p.manifest(desc)
		case shm.NTParam:
			err = p.param(desc)
		case shm.NTCounter:
			err = p.counter(desc)
		default:
			err = p.errorf("note of unknown type %d: the SPA needs a newer ulsctl", typ)
		}
		if err != nil {
			return err
		}
	}
	switch manifests {
	case 0:
		return p.errorf("has no manifest note (section %s): it is not an SPA; build it with sandboxlib", shm.NoteSection)
	case 1:
		return nil
	}
	return p.errorf("has %d manifest notes, not one", manifests)
}

func (p *parser) noteData() (data []byte, align uint64, err error) {
	if s := p.elf.Section(shm.NoteSection); s != nil {
		if s.Type != elf.SHT_NOTE {
			return nil, 0, p.errorf("section %s is not of type note", shm.NoteSection)
		}
		size, end := uint64(len(p.data)), s.Offset+s.Size
		if s.Flags&elf.SHF_COMPRESSED != 0 || end < s.Offset || end > size {
			return nil, 0, p.errorf("truncated: section %s ends beyond the file", shm.NoteSection)
		}
		return p.data[s.Offset:end], s.Addralign, nil
	}
	for _, h := range p.elf.Progs {
		if h.Type != elf.PT_NOTE {
			continue
		}
		d := p.data[h.Off : h.Off+h.Filesz]
		if owner, _, _, _, ok := nextNote(d, h.Align); ok && owner == shm.NoteOwner {
			return d, h.Align, nil
		}
	}
	return nil, 0, nil
}

// nextNote splits off one note. Its parts are aligned to 8 bytes where the
// section says so, to 4 otherwise.
func nextNote(d []byte, align uint64) (owner string, typ uint32, desc, rest []byte, ok bool) {
	if align != 8 {
		align = 4
	}
	if len(d) < 12 {
		return "", 0, nil, nil, false
	}
	le := binary.LittleEndian
	nameLen, descLen := uint64(le.Uint32(d)), uint64(le.Uint32(d[4:]))
	descAt := (12 + nameLen + align - 1) &^ (align - 1)
	end := descAt + descLen
	if 12+nameLen > uint64(len(d)) || end > uint64(len(d)) {
		return "", 0, nil, nil, false
	}
	owner = string(bytes.TrimRight(d[12:12+nameLen], "\x00"))
	next := min((end+align-1)&^(align-1), uint64(len(d)))
	return owner, le.Uint32(d[8:]), d[descAt:end], d[next:], true
}

func (p *parser) manifest(desc []byte) error {
	var m shm.Manifest
	if err := p.decode(desc, &m, "manifest"); err != nil {
		return err
	}
	if m.ABI != shm.ABIVersion {
		return p.errorf("made for version %d of the sandbox's interface, this is version %d: build it again", m.ABI, shm.ABIVersion)
	}
	if unknown := m.Flags &^ (shm.ManifestSerial | shm.ManifestFPU); unknown != 0 {
		return p.errorf("manifest has unknown flags %#x", unknown)
	}
	if m.Stack == 0 || m.Stack > shm.StackMax {
		return p.errorf("manifest asks for a stack of %d bytes; 1 to %d are possible", m.Stack, shm.StackMax)
	}
	if m.Heap > shm.HeapMax {
		return p.errorf("too large for the region: manifest asks for a heap of %d bytes, at most %d are possible", m.Heap, uint64(shm.HeapMax))
	}
	var ok bool
	if p.img.Name, ok = text(m.Name[:]); !ok || !validName(p.img.Name) {
		return p.errorf("manifest has no proper name (letters, digits, '.', '_', '-'; at most %d bytes)", shm.NameMax-1)
	}
	if p.img.Version, ok = text(m.Version[:]); !ok {
		return p.errorf("manifest has no proper version (printable, at most %d bytes)", shm.NameMax-1)
	}
	p.img.Flags, p.img.Stack, p.img.TickUS, p.img.Heap = m.Flags, m.Stack, m.TickUS, m.Heap
	return nil
}

func (p *parser) param(desc []byte) error {
	var n shm.NoteParam
	if err := p.decode(desc, &n, "parameter"); err != nil {
		return err
	}
	name, ok := text(n.Name[:])
	help, ok2 := text(n.Help[:])
	if !ok || !ok2 || !validName(name) {
		return p.errorf("parameter %d has no proper name or help text", len(p.img.Params))
	}
	if n.Type < shm.ParamU64 || n.Type > shm.ParamMAC {
		return p.errorf("parameter %q has unknown type %d", name, n.Type)
	}
	if _, _, twice := p.img.Param(name); twice {
		return p.errorf("parameter %q is declared twice", name)
	}
	if len(p.img.Params) == maxParams {
		return p.errorf("more than %d parameters", maxParams)
	}
	p.img.Params = append(p.img.Params, Param{Name: name, Type: n.Type, Default: n.Def, Help: help})
	return nil
}

func (p *parser) counter(desc []byte) error {
	var n shm.NoteCounter
	if err := p.decode(desc, &n, "counter"); err != nil {
		return err
	}
	name, ok := text(n.Name[:])
	if !ok || !validName(name) {
		return p.errorf("counter %d has no proper name", len(p.img.Counters))
	}
	if slices.Contains(p.img.Counters, name) {
		return p.errorf("counter %q is declared twice", name)
	}
	if len(p.img.Counters) == shm.CountersMax {
		return p.errorf("more than %d counters", shm.CountersMax)
	}
	p.img.Counters = append(p.img.Counters, name)
	return nil
}

func (p *parser) decode(desc []byte, into any, what string) error {
	if want := binary.Size(into); len(desc) != want {
		return p.errorf("%s note has %d bytes, not %d", what, len(desc), want)
	}
	if _, err := binary.Decode(desc, binary.LittleEndian, into); err != nil {
		return p.errorf("%s note: %v", what, err)
	}
	return nil
}

// text reads a NUL-terminated field; false if the NUL is missing, or something
// that is not printable ASCII stands before it (it may reach a terminal).
func text(field []byte) (string, bool) {
	b, _, ok := bytes.Cut(field, []byte{0})
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return "", false
		}
	}
	return string(b), ok
}

// validName tells whether s can name an SPA, a parameter or a counter. Names
// become file names in bpffs, hence no leading dot.
func validName(s string) bool {
	if s == "" || len(s) >= shm.NameMax || s[0] == '.' {
		return false
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// ValidName tells whether s can name an SPA.
func ValidName(s string) bool { return validName(s) }
