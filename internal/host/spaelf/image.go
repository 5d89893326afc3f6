// SPDX-License-Identifier: Apache-2.0

package spaelf

import (
	"encoding/binary"
	"fmt"
	"os"

	"sandstream/internal/host/shm"
)

// Protection of a segment; the values are those of the netlink interface.
const (
	Read  = 1 << 0
	Write = 1 << 1
	Exec  = 1 << 2
)

const (
	pageSize    = 4096
	maxFile     = 64 << 20 // bytes; the largest SPA of this project has 60 KB
	maxSegments = 16
	maxParams   = 32
)

// Error says which file was refused and why.
type Error struct {
	File   string
	Reason string
}

func (e *Error) Error() string { return e.File + ": " + e.Reason }

// Segment is a part of the image as the kernel maps it.
type Segment struct {
	Offset uint64 // bytes from the slice's base, a multiple of the page size
	Size   uint64 // bytes in memory, a multiple of the page size
	Prot   uint32 // Read, Write, Exec
	Data   []byte // its beginning; the rest is zero
}

// Param is a parameter an SPA declares.
type Param struct {
	Name    string
	Type    uint32 // shm.ParamU64 ...
	Default uint64
	Help    string
}

// Image is a checked SPA, not yet relocated.
type Image struct {
	File     string
	Name     string
	Version  string
	Flags    uint32 // shm.ManifestSerial, shm.ManifestFPU
	Stack    uint32 // bytes
	TickUS   uint32 // microseconds between ticks, 0: none
	Heap     uint64 // bytes
	Entry    uint64 // offset from the slice's base
	Params   []Param
	Counters []string
	Segments []Segment // ascending offsets; Data as in the file

	relocs []reloc
}

// reloc asks for the 8 bytes at offset at of segment seg to become base+addend.
type reloc struct {
	seg    int
	at     uint64
	addend uint64
}

// Open reads and checks the file at path. What is wrong with its content is
// reported as *Error; the file system's errors come as they are.
func Open(path string) (*Image, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &Error{path, "not a regular file"}
	}
	if st.Size() > maxFile {
		return nil, &Error{path, fmt.Sprintf("%d bytes, more than the %d an SPA may have", st.Size(), maxFile)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Relocations returns the number of relocations that Relocate applies.
func (img *Image) Relocations() int { return len(img.relocs) }

// MemorySize returns the bytes from the image window's start to the last
// segment's end.
func (img *Image) MemorySize() uint64 {
	last := img.Segments[len(img.Segments)-1]
	return last.Offset + last.Size - shm.OffImage
}

// Relocate returns the segments as they must stand in the slice at base. The
// image stays as it is and can be relocated again.
func (img *Image) Relocate(base uint64) []Segment {
	out := make([]Segment, len(img.Segments))
	for i, s := range img.Segments {
		s.Data = append([]byte(nil), s.Data...)
		out[i] = s
	}
	for _, r := range img.relocs {
		binary.LittleEndian.PutUint64(out[r.seg].Data[r.at:], base+r.addend)
	}
	return out
}

// Param finds a parameter by name; its index is what control messages carry.
func (img *Image) Param(name string) (index int, p Param, ok bool) {
	for i, p := range img.Params {
		if p.Name == name {
			return i, p, true
		}
	}
	return 0, Param{}, false
}

// inImage tells whether n bytes at off lie in the image window of a slice.
func inImage(off, n uint64) bool {
	return off >= shm.OffImage && n <= shm.ImageMax && off-shm.OffImage <= shm.ImageMax-n
}
