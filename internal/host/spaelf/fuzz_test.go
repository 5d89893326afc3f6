// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf/spatest"
)

// FuzzParse: reading and relocating never panics, and what must be refused is
// refused. The second half is an oracle of its own: it reads the raw bytes with
// none of the parser's code and does not use debug/elf.
func FuzzParse(f *testing.F) {
	f.Add(spatest.New().Build())
	for name := range bad {
		f.Add(spoiled(name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := Parse("fuzz.spa", data)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Reason == "" || strings.ContainsAny(e.Reason, "\n\x1b") {
				t.Fatalf("refused with %T %q", err, err)
			}
			return
		}
		mustHold(t, data, img)
		const base = shm.RegionBase + 3*shm.SliceSize
		segs := img.Relocate(base)
		for _, s := range segs {
			if uint64(len(s.Data)) > s.Size || s.Offset < shm.OffImage || s.Offset+s.Size > shm.OffHeap {
				t.Fatalf("accepted a segment outside of the window: %#x+%#x", s.Offset, s.Size)
			}
		}
		for _, r := range img.relocs {
			v := binary.LittleEndian.Uint64(segs[r.seg].Data[r.at:])
			// Two relocations may overlap; the last one written is whole.
			if r == img.relocs[len(img.relocs)-1] && (v < base || v >= base+shm.SliceSize) {
				t.Fatalf("relocated a pointer to %#x, outside of the slice", v)
			}
		}
	})
}

// mustHold checks the accepted file against the rules, from its bytes.
func mustHold(t *testing.T, d []byte, img *Image) {
	t.Helper()
	le := binary.LittleEndian
	if string(d[:4]) != "\x7fELF" || d[4] != 2 || d[5] != 1 || le.Uint16(d[16:]) != 3 || le.Uint16(d[18:]) != 62 {
		t.Fatal("accepted a file with a foreign header")
	}
	entry, phoff := le.Uint64(d[24:]), le.Uint64(d[32:])
	phentsize, phnum := uint64(le.Uint16(d[54:])), uint64(le.Uint16(d[56:]))
	pages := map[uint64]bool{}
	var entryOK bool
	for i := range phnum {
		ph := d[phoff+i*phentsize:]
		typ, flags := le.Uint32(ph), le.Uint32(ph[4:])
		vaddr, filesz, memsz := le.Uint64(ph[16:]), le.Uint64(ph[32:]), le.Uint64(ph[40:])
		if typ == 3 || typ == 7 {
			t.Fatalf("accepted a file with program header type %d", typ)
		}
		if typ != 1 || memsz == 0 {
			continue
		}
		if flags&3 == 3 {
			t.Fatal("accepted a writable and executable segment")
		}
		if vaddr%4096 != 0 || memsz < filesz || memsz > shm.ImageMax ||
			vaddr < 0x100000 || vaddr+memsz > 0x8000000 {
			t.Fatalf("accepted a segment at %#x of %#x bytes", vaddr, memsz)
		}
		for p := vaddr; p < vaddr+memsz; p += 4096 {
			if pages[p] {
				t.Fatalf("accepted two segments on page %#x", p)
			}
			pages[p] = true
		}
		if flags&1 != 0 && entry >= vaddr && entry < vaddr+filesz {
			entryOK = true
		}
	}
	if !entryOK {
		t.Fatalf("accepted entry %#x outside of the text", entry)
	}
	if !strings.Contains(string(d), "ULS\x00") {
		t.Fatal("accepted a file without a note of ours")
	}
	if !validName(img.Name) || img.Stack == 0 || img.Stack > shm.StackMax || img.Heap > shm.HeapMax ||
		len(img.Params) > maxParams || len(img.Counters) > shm.CountersMax {
		t.Fatalf("accepted manifest %+v", img)
	}
}

// The committed corpus is one file for each bad case and the good one, so that
// go test -fuzz starts from all of them. SPAELF_CORPUS=write writes it anew.
func TestCorpus(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz", "FuzzParse")
	want := map[string][]byte{"good": spatest.New().Build()}
	for name := range bad {
		want[name] = spoiled(name)
	}
	for name, data := range want {
		path, text := filepath.Join(dir, "seed-"+name), fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data)
		if os.Getenv("SPAELF_CORPUS") == "write" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s is missing or old (%v): SPAELF_CORPUS=write go test -run TestCorpus", path, err)
		}
	}
}
