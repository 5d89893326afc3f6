// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"sandstream/internal/host/shm"
)

type manifest = shm.Manifest

// change alters an SPA's file in memory: some cases need a value that is fixed
// when the SPA is built.
type change func(b []byte) error

// patched writes a changed copy of an SPA.
func patched(t *tap, dir, file string, changes ...change) string {
	b, err := os.ReadFile(file)
	t.need(err, "read "+file)
	for _, c := range changes {
		t.need(c(b), "change "+file)
	}
	out := filepath.Join(dir, filepath.Base(file))
	t.need(os.WriteFile(out, b, 0o600), "write "+out)
	return out
}

// setManifest changes the manifest note.
func setManifest(f func(*manifest)) change {
	return func(b []byte) error {
		head := []byte{4, 0, 0, 0, 88, 0, 0, 0, shm.NTManifest, 0, 0, 0, 'U', 'L', 'S', 0}
		i := bytes.Index(b, head)
		if i < 0 {
			return fmt.Errorf("no manifest found")
		}
		desc := b[i+len(head):][:88]
		var m manifest
		if _, err := binary.Decode(desc, binary.LittleEndian, &m); err != nil {
			return err
		}
		f(&m)
		_, err := binary.Encode(desc, binary.LittleEndian, &m)
		return err
	}
}

// setWhen changes the first parameter's initial value, which in the SPAs of
// /spa/tests is the reason of the upcall that does the harm: INIT comes before any
// parameter can be set.
func setWhen(reason uint64) change {
	return func(b []byte) error {
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return err
		}
		syms, err := f.Symbols()
		if err != nil {
			return err
		}
		for _, s := range syms {
			if s.Name != "spa_param_values" {
				continue
			}
			for _, p := range f.Progs {
				if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value+8 <= p.Vaddr+p.Filesz {
					binary.LittleEndian.PutUint64(b[p.Off+s.Value-p.Vaddr:], reason)
					return nil
				}
			}
		}
		return fmt.Errorf("no parameter values found")
	}
}
