// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A ProgramResult is how one program of the job ended.
type ProgramResult struct {
	Name   string
	How    string // "exit N", "signal N", "timeout"; empty if the guest ended first
	Output []byte // standard output and error
}

// OK reports whether the program ended with status 0.
func (p ProgramResult) OK() bool { return p.How == "exit 0" }

// Status returns the exit status, or -1 if the program did not exit by itself.
func (p ProgramResult) Status() int {
	if rest, ok := strings.CutPrefix(p.How, "exit "); ok {
		if n, err := strconv.Atoi(rest); err == nil {
			return n
		}
	}
	return -1
}

// A File is one collected file.
type File struct {
	Path string // in the guest
	Mode os.FileMode
	Data []byte
}

// report is the parsed content of the report port; see init.c for the frames.
type report struct {
	programs []ProgramResult
	files    map[string]File
	remarks  []string
	verdict  string // empty: the guest never gave one
}

// parseReport reads as many whole frames as there are. A guest that died leaves a
// torn last frame: what came before is kept, and the missing verdict tells.
func parseReport(data []byte) (*report, error) {
	r := &report{files: map[string]File{}}
	var file *File
	for len(data) >= 5 {
		kind, size := data[0], int(binary.LittleEndian.Uint32(data[1:]))
		if size > len(data)-5 {
			break
		}
		payload := data[5 : 5+size]
		data = data[5+size:]
		if r.verdict != "" {
			return r, fmt.Errorf("report: frame %q after the verdict", kind)
		}
		var last *ProgramResult
		if n := len(r.programs); n > 0 {
			last = &r.programs[n-1]
		}
		switch {
		case kind == 'B':
			r.programs = append(r.programs, ProgramResult{Name: string(payload)})
		case kind == 'O' && last != nil && last.How == "":
			last.Output = append(last.Output, payload...)
		case kind == 'E' && last != nil && last.How == "":
			last.How = string(payload)
		case kind == 'P' && file == nil:
			mode, path, ok := strings.Cut(string(payload), " ")
			bits, err := strconv.ParseUint(mode, 8, 12)
			if !ok || err != nil {
				return r, fmt.Errorf("report: bad file header %q", payload)
			}
			file = &File{Path: path, Mode: os.FileMode(bits)}
		case kind == 'D' && file != nil:
			file.Data = append(file.Data, payload...)
		case kind == 'C' && file != nil:
			r.files[file.Path] = *file
			file = nil
		case kind == 'L':
			r.remarks = append(r.remarks, string(bytes.TrimSpace(payload)))
		case kind == 'V' && len(payload) > 0:
			r.verdict = string(payload)
		default:
			return r, fmt.Errorf("report: frame %q of %d bytes makes no sense here", kind, size)
		}
	}
	return r, nil
}
