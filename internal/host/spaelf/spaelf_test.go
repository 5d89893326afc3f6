// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf/spatest"
)

func TestParse(t *testing.T) {
	img, err := Parse("echo.spa", spatest.New().Build())
	if err != nil {
		t.Fatal(err)
	}
	if img.Name != "echo" || img.Version != "1.2" || img.Stack != 8192 || img.TickUS != 1000 ||
		img.Heap != 1<<20 || img.Flags != shm.ManifestSerial || img.Entry != shm.OffImage+4 {
		t.Errorf("manifest: %+v", img)
	}
	if len(img.Params) != 1 || img.Params[0] != (Param{"limit", shm.ParamU64, 7, "frames in flight"}) {
		t.Errorf("parameters: %+v", img.Params)
	}
	if len(img.Counters) != 1 || img.Counters[0] != "drops" {
		t.Errorf("counters: %q", img.Counters)
	}
	want := []struct {
		off, size uint64
		prot      uint32
	}{{0x100000, 0x1000, Read | Exec}, {0x101000, 0x1000, Read}, {0x102000, 0x3000, Read | Write}}
	if len(img.Segments) != len(want) {
		t.Fatalf("%d segments, want %d", len(img.Segments), len(want))
	}
	for i, w := range want {
		if s := img.Segments[i]; s.Offset != w.off || s.Size != w.size || s.Prot != w.prot {
			t.Errorf("segment %d: %#x %#x %#x, want %#x", i, s.Offset, s.Size, s.Prot, w)
		}
	}
	if img.MemorySize() != 0x5000 {
		t.Errorf("memory size %#x, want 0x5000", img.MemorySize())
	}
}

func TestRelocate(t *testing.T) {
	data := spatest.New().Build()
	img, err := Parse("echo.spa", data)
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []uint64{shm.RegionBase, shm.RegionBase + 5*shm.SliceSize} {
		segs := img.Relocate(base)
		if got := binary.LittleEndian.Uint64(segs[2].Data[0x10:]); got != base+shm.OffImage+8 {
			t.Errorf("base %#x: pointer is %#x", base, got)
		}
	}
	if img.Relocations() != 1 {
		t.Errorf("%d relocations, want 1", img.Relocations())
	}
	again, err := Parse("echo.spa", data)
	if err != nil || binary.LittleEndian.Uint64(again.Segments[2].Data[0x10:]) != 0 {
		t.Errorf("Relocate changed the file's bytes (%v)", err)
	}
}

// bad is every way to be refused: what is done to a good file, and the words
// that must say so.
var bad = map[string]struct {
	spoil func(f *spatest.Builder)
	bytes func(b []byte) []byte
	want  string
}{
	"empty":         {bytes: func([]byte) []byte { return nil }, want: "empty"},
	"foreign":       {bytes: func([]byte) []byte { return []byte("#!/bin/sh\nexit 0\n") }, want: "not an ELF file"},
	"short-header":  {bytes: func(b []byte) []byte { return b[:40] }, want: "truncated"},
	"truncated":     {bytes: func(b []byte) []byte { return b[:len(b)-1] }, want: "truncated"},
	"half":          {bytes: func(b []byte) []byte { return b[:len(b)/2] }, want: "truncated"},
	"32-bit":        {spoil: func(f *spatest.Builder) { f.Header.Ident[elf.EI_CLASS] = 1 }, want: "32-bit"},
	"big-endian":    {spoil: func(f *spatest.Builder) { f.Header.Ident[elf.EI_DATA] = 2 }, want: "not little endian"},
	"arm64":         {spoil: func(f *spatest.Builder) { f.Header.Machine = uint16(elf.EM_AARCH64) }, want: "EM_AARCH64"},
	"executable":    {spoil: func(f *spatest.Builder) { f.Header.Type = uint16(elf.ET_EXEC) }, want: "ET_EXEC"},
	"object":        {spoil: func(f *spatest.Builder) { f.Header.Type = uint16(elf.ET_REL) }, want: "ET_REL"},
	"interpreter":   {spoil: func(f *spatest.Builder) { f.Other = []elf.Prog64{{Type: uint32(elf.PT_INTERP)}} }, want: "dynamic loader"},
	"tls":           {spoil: func(f *spatest.Builder) { f.Other = []elf.Prog64{{Type: uint32(elf.PT_TLS)}} }, want: "PT_TLS"},
	"exec-stack":    {spoil: func(f *spatest.Builder) { f.Other = []elf.Prog64{{Type: uint32(elf.PT_GNU_STACK), Flags: 7}} }, want: "executable stack"},
	"no-segments":   {spoil: func(f *spatest.Builder) { f.Segs = nil; f.Relas = nil }, want: "no loadable segment"},
	"wx":            {spoil: func(f *spatest.Builder) { f.Segs[2].Flags |= elf.PF_X }, want: "writable and executable"},
	"unreadable":    {spoil: func(f *spatest.Builder) { f.Segs[0].Flags = elf.PF_X }, want: "not readable"},
	"odd-flags":     {spoil: func(f *spatest.Builder) { f.Segs[0].Flags |= 0x100000 }, want: "unknown flags"},
	"unaligned":     {spoil: func(f *spatest.Builder) { f.Segs[2].Vaddr += 16 }, want: "does not start on a page"},
	"overlap":       {spoil: func(f *spatest.Builder) { f.Segs[2].Vaddr = f.Segs[1].Vaddr }, want: "overlap"},
	"below-window":  {spoil: func(f *spatest.Builder) { f.Segs[0].Vaddr = 0 }, want: "below the image window"},
	"too-large":     {spoil: func(f *spatest.Builder) { f.Segs[2].Memsz = shm.ImageMax }, want: "too large for the region"},
	"far-too-large": {spoil: func(f *spatest.Builder) { f.Segs[2].Memsz = 1<<64 - 1 }, want: "too large for the region"},
	"past-window":   {spoil: func(f *spatest.Builder) { f.Segs[2].Vaddr = shm.OffHeap }, want: "too large for the region"},
	"memsz":         {spoil: func(f *spatest.Builder) { f.Segs[2].Memsz = 8 }, want: "in memory but"},
	"many-segments": {spoil: func(f *spatest.Builder) {
		for i := range uint64(maxSegments) {
			f.Segs = append(f.Segs, spatest.Seg{Vaddr: shm.OffImage + 0x10000 + i*0x1000, Memsz: 1, Flags: elf.PF_R, Data: []byte{1}})
		}
	}, want: "loadable segments"},
	"entry-data":    {spoil: func(f *spatest.Builder) { f.Header.Entry = shm.OffImage + 0x2000 }, want: "not in its text"},
	"entry-padding": {spoil: func(f *spatest.Builder) { f.Header.Entry = shm.OffImage + 0x20 }, want: "not in its text"},
	"reloc-64":      {spoil: func(f *spatest.Builder) { f.Relas[0].Info = uint64(elf.R_X86_64_64) | 1<<32 }, want: "R_X86_64_64"},
	"reloc-irel":    {spoil: func(f *spatest.Builder) { f.Relas[0].Info = uint64(elf.R_X86_64_IRELATIVE) }, want: "R_X86_64_IRELATIVE"},
	"reloc-symbol":  {spoil: func(f *spatest.Builder) { f.Relas[0].Info |= 3 << 32 }, want: "names a symbol"},
	"reloc-text":    {spoil: func(f *spatest.Builder) { f.Relas[0].Off = shm.OffImage + 8 }, want: "changes text"},
	"reloc-outside": {spoil: func(f *spatest.Builder) { f.Relas[0].Off = shm.OffHeap }, want: "outside the file's part"},
	"reloc-edge":    {spoil: func(f *spatest.Builder) { f.Relas[0].Off = shm.OffImage + 0x2039 }, want: "outside the file's part"},
	"reloc-addend":  {spoil: func(f *spatest.Builder) { f.Relas[0].Addend = -1 }, want: "outside of the slice"},
	"rela-table": {spoil: func(f *spatest.Builder) {
		f.Relas = nil
		f.Dynamic = []elf.Dyn64{{Tag: 7, Val: 0x999999}, {Tag: 8, Val: 24}}
	}, want: "truncated"},
	"rela-odd":   {spoil: func(f *spatest.Builder) { f.Relas = nil; f.Dynamic = []elf.Dyn64{{Tag: 8, Val: 25}} }, want: "multiple of 24"},
	"rela-entry": {spoil: func(f *spatest.Builder) { f.Relas = nil; f.Dynamic = []elf.Dyn64{{Tag: 8, Val: 24}, {Tag: 9, Val: 16}} }, want: "have 16 bytes each"},
	"rel":        {spoil: func(f *spatest.Builder) { f.Dynamic = []elf.Dyn64{{Tag: int64(elf.DT_RELSZ), Val: 16}} }, want: "other than RELATIVE"},
	"jmprel":     {spoil: func(f *spatest.Builder) { f.Dynamic = []elf.Dyn64{{Tag: int64(elf.DT_PLTRELSZ), Val: 24}} }, want: "other than RELATIVE"},
	"relr":       {spoil: func(f *spatest.Builder) { f.Dynamic = []elf.Dyn64{{Tag: int64(dtRelrSize), Val: 8}} }, want: "DT_RELR"},
	"needed":     {spoil: func(f *spatest.Builder) { f.Dynamic = []elf.Dyn64{{Tag: int64(elf.DT_NEEDED), Val: 1}} }, want: "shared library"},
	"twice":      {spoil: func(f *spatest.Builder) { f.Dynamic = []elf.Dyn64{{Tag: 8, Val: 24}} }, want: "occurs twice"},

	"no-manifest": {spoil: func(f *spatest.Builder) { f.Notes = nil }, want: "no manifest note"},
	"two-manifests": {spoil: func(f *spatest.Builder) {
		f.Notes = append(f.Notes, spatest.Note(shm.NTManifest, spatest.Manifest())...)
	}, want: "2 manifest notes"},
	"short-manifest": {spoil: func(f *spatest.Builder) { f.Notes = spatest.Note(shm.NTManifest, make([]byte, 80)) }, want: "has 80 bytes, not 88"},
	"cut-note":       {spoil: func(f *spatest.Builder) { f.Notes = f.Notes[:len(f.Notes)-8] }, want: "damaged notes"},
	"note-type":      {spoil: func(f *spatest.Builder) { f.Notes = append(f.Notes, spatest.Note(99, uint32(1))...) }, want: "unknown type 99"},
	"abi":            {spoil: manifest(func(m *shm.Manifest) { m.ABI = 9 }), want: "version 9"},
	"flags":          {spoil: manifest(func(m *shm.Manifest) { m.Flags = 1 << 9 }), want: "unknown flags"},
	"no-stack":       {spoil: manifest(func(m *shm.Manifest) { m.Stack = 0 }), want: "stack of 0"},
	"stack":          {spoil: manifest(func(m *shm.Manifest) { m.Stack = shm.StackMax + 1 }), want: "stack of"},
	"heap":           {spoil: manifest(func(m *shm.Manifest) { m.Heap = shm.HeapMax + 1 }), want: "too large for the region"},
	"no-name":        {spoil: manifest(func(m *shm.Manifest) { m.Name[0] = 0 }), want: "no proper name"},
	"name-slash":     {spoil: manifest(func(m *shm.Manifest) { copy(m.Name[:], "../x") }), want: "no proper name"},
	"name-endless":   {spoil: manifest(func(m *shm.Manifest) { copy(m.Name[:], strings.Repeat("a", 32)) }), want: "no proper name"},
	"version-escape": {spoil: manifest(func(m *shm.Manifest) { copy(m.Version[:], "\x1b[2J") }), want: "no proper version"},
	"param-type":     {spoil: param(func(p *shm.NoteParam) { p.Type = 9 }), want: "unknown type 9"},
	"param-twice":    {spoil: param(func(p *shm.NoteParam) { copy(p.Name[:], "limit\x00") }), want: "declared twice"},
	"param-name":     {spoil: param(func(p *shm.NoteParam) { copy(p.Name[:], "a b") }), want: "no proper name"},
	"param-help":     {spoil: param(func(p *shm.NoteParam) { copy(p.Help[:], "\x07") }), want: "help text"},
	"counter-twice": {spoil: func(f *spatest.Builder) {
		c := shm.NoteCounter{}
		copy(c.Name[:], "drops")
		f.Notes = append(f.Notes, spatest.Note(shm.NTCounter, c)...)
	}, want: "declared twice"},
	"many-counters": {spoil: func(f *spatest.Builder) {
		for i := range shm.CountersMax {
			c := shm.NoteCounter{}
			copy(c.Name[:], fmt.Sprint("c", i))
			f.Notes = append(f.Notes, spatest.Note(shm.NTCounter, c)...)
		}
	}, want: "more than 64 counters"},
	"many-params": {spoil: func(f *spatest.Builder) {
		for i := range maxParams {
			param(func(p *shm.NoteParam) { copy(p.Name[:], fmt.Sprint("p", i)) })(f)
		}
	}, want: "more than 32 parameters"},
}

func manifest(change func(*shm.Manifest)) func(*spatest.Builder) {
	return func(f *spatest.Builder) {
		m := spatest.Manifest()
		change(&m)
		f.Notes = spatest.Note(shm.NTManifest, m)
	}
}

func param(change func(*shm.NoteParam)) func(*spatest.Builder) {
	return func(f *spatest.Builder) {
		p := shm.NoteParam{Type: shm.ParamU64}
		copy(p.Name[:], "other")
		change(&p)
		f.Notes = append(f.Notes, spatest.Note(shm.NTParam, p)...)
	}
}

// spoiled builds the bad file of that name.
func spoiled(name string) []byte {
	f, c := spatest.New(), bad[name]
	if c.spoil != nil {
		c.spoil(f)
	}
	b := f.Build()
	if c.bytes != nil {
		b = c.bytes(b)
	}
	return b
}

func TestRefused(t *testing.T) {
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("bad.spa", spoiled(name))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.File != "bad.spa" || !strings.Contains(e.Reason, c.want) {
				t.Errorf("got %q, want it to name the file and say %q", e, c.want)
			}
		})
	}
}

// Each prefix of a good file is refused: no truncation slips through.
func TestTruncations(t *testing.T) {
	b := spatest.New().Build()
	for n := range b {
		if _, err := Parse("cut.spa", b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(b))
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "echo.spa")
	if err := os.WriteFile(path, spatest.New().Build(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err != nil {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(dir, "none.spa")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("folder: %v", err)
	}
	big := filepath.Join(dir, "big.spa")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(big); err == nil || !strings.Contains(err.Error(), "more than the") {
		t.Errorf("huge file: %v", err)
	}
}
