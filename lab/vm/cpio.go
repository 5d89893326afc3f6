// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
)

// An Image is an initramfs: a set of absolute guest paths. The zero value is empty
// and ready to use.
type Image struct {
	entries map[string]entry
}

type entry struct {
	mode  uint32 // type and permissions, as in stat(2)
	data  []byte
	major uint32 // of a device node
	minor uint32
}

const (
	typeDir  = 0o040000
	typeChar = 0o020000
	typeFile = 0o100000
	typeLink = 0o120000
)

func (im *Image) put(name string, e entry) {
	if im.entries == nil {
		im.entries = map[string]entry{}
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := im.entries[dir]; !ok {
			im.entries[dir] = entry{mode: typeDir | 0o755}
		}
	}
	im.entries[name] = e
}

// Add puts a regular file with content data at name.
func (im *Image) Add(name string, mode os.FileMode, data []byte) {
	im.put(name, entry{mode: typeFile | uint32(mode.Perm()), data: data})
}

// AddFile puts the host's file src at name, with its permissions.
func (im *Image) AddFile(name, src string) error {
	st, err := os.Stat(src)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	data, err := os.ReadFile(src)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	im.Add(name, st.Mode(), data)
	return nil
}

// AddDir puts an empty folder at name.
func (im *Image) AddDir(name string) { im.put(name, entry{mode: typeDir | 0o755}) }

// AddLink puts a symbolic link to target at name.
func (im *Image) AddLink(name, target string) {
	im.put(name, entry{mode: typeLink | 0o777, data: []byte(target)})
}

// AddChar puts a character device at name.
func (im *Image) AddChar(name string, mode os.FileMode, major, minor uint32) {
	im.put(name, entry{mode: typeChar | uint32(mode.Perm()), major: major, minor: minor})
}

// Has reports whether something is at name.
func (im *Image) Has(name string) bool {
	_, ok := im.entries[strings.TrimPrefix(path.Clean("/"+name), "/")]
	return ok
}

// Clone returns a copy that can be added to without changing im.
func (im *Image) Clone() *Image {
	c := &Image{entries: make(map[string]entry, len(im.entries))}
	for name, e := range im.entries {
		c.entries[name] = e
	}
	return c
}

// WriteTo writes the image as a "newc" cpio archive: sorted by name, all owned by
// root, all times zero, so that the same content is the same bytes.
func (im *Image) WriteTo(w io.Writer) (int64, error) {
	names := make([]string, 0, len(im.entries))
	for name := range im.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	c := &cpioWriter{w: w}
	for i, name := range names {
		c.entry(uint32(i+1), name, im.entries[name])
	}
	c.entry(0, "TRAILER!!!", entry{})
	return c.n, c.err
}

type cpioWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *cpioWriter) write(data []byte) {
	if c.err != nil {
		return
	}
	var n int
	n, c.err = c.w.Write(data)
	c.n += int64(n)
}

// pad fills up to a multiple of four bytes.
func (c *cpioWriter) pad() { c.write(make([]byte, -c.n&3)) }

func (c *cpioWriter) entry(ino uint32, name string, e entry) {
	links := uint32(1)
	if e.mode&typeDir != 0 && e.mode&^0o7777 == typeDir {
		links = 2
	}
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor,
	// rdevmajor, rdevminor, namesize (with the NUL), check.
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		ino, e.mode, 0, 0, links, 0, len(e.data), 0, 0, e.major, e.minor, len(name)+1, 0))
	c.write(append([]byte(name), 0))
	c.pad()
	c.write(e.data)
	c.pad()
}
