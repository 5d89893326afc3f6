// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
)

// What of WebAssembly's binary format the metering needs: sections, and the
// length of each instruction.

const (
	secType   = 1
	secImport = 2
	secFunc   = 3
	secGlobal = 6
	secExport = 7
	secCode   = 10
	secData   = 11

	maxModule = 8 << 20
)

var errTruncated = errors.New("the module ends in the middle of something")

// reader reads bytes and LEB128 numbers; after an error everything is zero.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.b)
}

func (r *reader) left() bool { return r.err == nil && r.at < len(r.b) }

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.fail(errTruncated)
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)-r.at) {
		r.fail(errTruncated)
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}

// u32 reads an unsigned number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v>>32 != 0 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(errors.New("a number is longer than 32 bits"))
	return 0
}

// skipLEB passes over a number of at most n bytes.
func (r *reader) skipLEB(n int) {
	for range n {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(fmt.Errorf("a number is longer than %d bytes", n))
}

// skipName passes over a string.
func (r *reader) skipName() { r.take(r.u32()) }

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendBytes(b, p []byte) []byte { return append(appendU32(b, uint32(len(p))), p...) }

type section struct {
	id   byte
	body []byte
}

func parseSections(module []byte) ([]section, error) {
	if len(module) > maxModule {
		return nil, fmt.Errorf("%d bytes: more than %d", len(module), maxModule)
	}
	r := reader{b: module}
	if string(r.take(8)) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("no WebAssembly module of version 1")
	}
	var out []section
	for r.left() {
		id := r.byte()
		out = append(out, section{id, r.take(r.u32())})
	}
	return out, r.err
}

const (
	opUnreachable = 0x00
	opBlock       = 0x02
	opLoop        = 0x03
	opIf          = 0x04
	opElse        = 0x05
	opEnd         = 0x0b
	opPrefix      = 0xfc

	// Behind opPrefix; each takes a length from the top of the stack.
	bulkMemInit   = 8
	bulkMemCopy   = 10
	bulkMemFill   = 11
	bulkTableInit = 12
	bulkTableCopy = 14
	bulkTableGrow = 15
	bulkTableFill = 17
)

// instruction reads one, with its immediates. For opPrefix sub is what follows.
func (r *reader) instruction() (op byte, sub uint32) {
	op = r.byte()
	switch {
	case op == opBlock || op == opLoop || op == opIf:
		r.skipLEB(5)
	case op == 0x0c || op == 0x0d || op == 0x10 || // br, br_if, call
		op >= 0x20 && op <= 0x26 || op == 0xd2: // variables, tables, ref.func
		r.skipLEB(5)
	case op == 0x0e: // br_table
		for n := r.u32(); n > 0 && r.left(); n-- {
			r.skipLEB(5)
		}
		r.skipLEB(5)
	case op == 0x11: // call_indirect
		r.skipLEB(5)
		r.skipLEB(5)
	case op == 0x1c: // select with types
		r.take(r.u32())
	case op >= 0x28 && op <= 0x3e: // loads and stores
		r.skipLEB(5)
		r.skipLEB(5)
	case op == 0x3f: // memory.size
		r.byte()
	case op == 0x40:
		r.fail(errors.New("memory.grow: an SPA has all its memory from the start"))
	case op == 0x41:
		r.skipLEB(5)
	case op == 0x42:
		r.skipLEB(10)
	case op == 0x43:
		r.take(4)
	case op == 0x44:
		r.take(8)
	case op == 0xd0: // ref.null
		r.byte()
	case op == opPrefix:
		sub = r.prefixed()
	case op <= 0x01 || op == opElse || op == opEnd || op == 0x0f ||
		op == 0x1a || op == 0x1b || op >= 0x45 && op <= 0xc4 || op == 0xd1:
	default:
		r.fail(fmt.Errorf("instruction %#02x, which SPAs do not use", op))
	}
	return op, sub
}

func (r *reader) prefixed() uint32 {
	sub := r.u32()
	switch {
	case sub <= 7: // saturating conversions
	case sub == bulkMemInit || sub == bulkMemCopy || sub == bulkTableInit || sub == bulkTableCopy:
		r.skipLEB(5)
		r.skipLEB(5)
	case sub == 9 || sub == bulkMemFill || sub == 13 || sub == 16 || sub == bulkTableFill:
		r.skipLEB(5)
	case sub == bulkTableGrow:
		r.fail(errors.New("table.grow: an SPA's tables stay as they are"))
	default:
		r.fail(fmt.Errorf("instruction %#02x %d, which SPAs do not use", opPrefix, sub))
	}
	return sub
}
