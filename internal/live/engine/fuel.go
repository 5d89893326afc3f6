// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
)

// fuelExport is the name of the counter that meter adds.
const fuelExport = "engine_fuel"

// bulkShift: copying or filling 2^bulkShift bytes costs one unit.
const bulkShift = 4

// meter rewrites a module so that it uses up fuel: a new mutable global of 64
// bits, exported, from which each function on entry and each loop on each turn
// takes the number of instructions that stand in it (both arms of an if counted:
// an upper bound), and each bulk copy its length in units of 16 bytes. Below
// zero it traps. What the module computes stays the same. `first` is the fuel
// until the engine fills it for the first time.
//
// The new global comes last, so no other number changes; each body gets one
// local more, also last.
func meter(module []byte, first uint64) ([]byte, error) {
	secs, err := parseSections(module)
	if err != nil {
		return nil, err
	}
	m := metering{}
	if err := m.count(secs); err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(module)*2), module[:8]...)
	var done [13]bool
	for _, s := range secs {
		// The two sections that get an entry may be absent: then they come where they belong.
		for _, id := range [...]byte{secGlobal, secExport} {
			if s.id != 0 && after(s.id) > after(id) && !done[id] {
				out = m.emit(out, section{id, []byte{0}}, first)
				done[id] = true
			}
		}
		if int(s.id) < len(done) {
			done[s.id] = true
		}
		out = m.emit(out, s, first)
		if m.err != nil {
			return nil, m.err
		}
	}
	if !done[secCode] {
		return nil, errors.New("no code in it")
	}
	return out, nil
}

// after orders sections: the data count (12) stands in front of the code.
func after(id byte) int {
	if id == 12 {
		return 2*secCode - 1
	}
	return 2 * int(id)
}

type metering struct {
	params  []uint32 // of each type
	types   []uint32 // of each function defined here
	imports uint32   // imported globals
	globals uint32   // all, without ours
	err     error
}

// count learns what the new numbers will be.
func (m *metering) count(secs []section) error {
	var seen [13]bool
	for _, s := range secs {
		if s.id != 0 {
			if int(s.id) >= len(seen) || seen[s.id] {
				return fmt.Errorf("section %d: unknown, or there twice", s.id)
			}
			seen[s.id] = true
		}
		r := reader{b: s.body}
		switch s.id {
		case secType:
			m.countTypes(&r)
		case secImport:
			m.countImports(&r)
		case secFunc:
			for n := r.u32(); n > 0 && r.err == nil; n-- {
				m.types = append(m.types, r.u32())
			}
		case secGlobal:
			m.globals = r.u32()
		case 8:
			return errors.New("a start function, which SPAs do not have")
		}
		if r.err != nil {
			return fmt.Errorf("section %d: %w", s.id, r.err)
		}
	}
	m.globals += m.imports
	return nil
}

func (m *metering) countTypes(r *reader) {
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		if r.byte() != 0x60 {
			r.fail(errors.New("a type that is no function"))
		}
		params := r.u32()
		r.take(params)
		r.take(r.u32())
		m.params = append(m.params, params)
	}
}

func (m *metering) countImports(r *reader) {
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		r.skipName()
		r.skipName()
		switch r.byte() {
		case 0:
			r.u32()
		case 3:
			r.take(2)
			m.imports++
		default:
			r.fail(errors.New("memory or table imported: an SPA has its own"))
		}
	}
}

// emit appends a section, changed where it must be.
func (m *metering) emit(out []byte, s section, first uint64) []byte {
	switch s.id {
	case secGlobal:
		body := m.onemore(s.body)
		body = append(body, 0x7e, 1, 0x42) // i64, mutable, i64.const
		body = append(appendS64(body, int64(first)), opEnd)
		s.body = body
	case secExport:
		body := m.onemore(s.body)
		body = append(appendBytes(body, []byte(fuelExport)), 3)
		s.body = appendU32(body, m.globals)
	case secCode:
		s.body = m.code(s.body)
	}
	return appendBytes(append(out, s.id), s.body)
}

// onemore is a vector's bytes with its count raised by one.
func (m *metering) onemore(body []byte) []byte {
	r := reader{b: body}
	n := r.u32()
	if r.err != nil || n == 1<<32-1 {
		m.err = errTruncated
		return nil
	}
	return append(appendU32(make([]byte, 0, len(body)+32), n+1), body[r.at:]...)
}

func (m *metering) code(body []byte) []byte {
	r := reader{b: body}
	n := r.u32()
	if int64(n) != int64(len(m.types)) {
		m.err = fmt.Errorf("%d functions declared, %d there", len(m.types), n)
		return nil
	}
	out := appendU32(make([]byte, 0, 2*len(body)), n)
	for i := range n {
		f := r.take(r.u32())
		if r.err != nil {
			break
		}
		if m.types[i] >= uint32(len(m.params)) {
			r.fail(errors.New("a function of a type that is not there"))
			break
		}
		g, err := m.function(f, m.params[m.types[i]])
		if err != nil {
			r.fail(fmt.Errorf("function %d: %w", i, err))
			break
		}
		out = appendBytes(out, g)
	}
	m.err = r.err
	return out
}

// function rewrites one body.
func (m *metering) function(f []byte, params uint32) ([]byte, error) {
	r := reader{b: f}
	groups, locals := r.u32(), uint64(params)
	start := r.at
	for i := uint32(0); i < groups && r.err == nil; i++ {
		locals += uint64(r.u32())
		r.byte()
	}
	if r.err != nil {
		return nil, r.err
	}
	if locals > 50000 {
		return nil, fmt.Errorf("%d locals", locals)
	}
	costs, err := costsOf(f[r.at:])
	if err != nil {
		return nil, err
	}
	out := appendU32(make([]byte, 0, 2*len(f)+64), groups+1)
	out = append(out, f[start:r.at]...)
	out = append(out, 1, 0x7f) // one local: i32
	out = m.charge(out, costs[0])
	for next := 1; r.left(); {
		from := r.at
		op, sub := r.instruction()
		if op == opPrefix && takesLength(sub) {
			out = m.chargeBulk(out, uint32(locals))
		}
		out = append(out, f[from:r.at]...)
		if op == opLoop {
			out = m.charge(out, costs[next])
			next++
		}
	}
	return out, r.err
}

func takesLength(sub uint32) bool {
	switch sub {
	case bulkMemInit, bulkMemCopy, bulkMemFill, bulkTableInit, bulkTableCopy, bulkTableFill:
		return true
	}
	return false
}

// costsOf counts instructions: [0] those outside of loops, then those of each
// loop in order of appearance, without the loops inside it.
func costsOf(code []byte) ([]uint32, error) {
	r := reader{b: code}
	costs, open := []uint32{1}, []int{0} // open: for each open block, whose costs
	for r.left() {
		if len(open) == 0 {
			return nil, errors.New("code behind its end")
		}
		op, _ := r.instruction()
		at := open[len(open)-1]
		switch op {
		case opLoop:
			at = len(costs)
			costs = append(costs, 1)
			open = append(open, at)
		case opBlock, opIf:
			open = append(open, at)
		case opEnd:
			open = open[:len(open)-1]
		}
		costs[at]++
	}
	if r.err == nil && len(open) != 0 {
		return nil, errTruncated
	}
	return costs, r.err
}

// charge takes n from the fuel and traps below zero.
func (m *metering) charge(out []byte, n uint32) []byte {
	out = append(appendU32(append(out, 0x23), m.globals), 0x42) // global.get; i64.const
	out = append(appendS64(out, int64(n)), 0x7d)                // i64.sub
	return m.check(out)
}

// chargeBulk takes for the length on top of the stack, which stays there.
func (m *metering) chargeBulk(out []byte, local uint32) []byte {
	out = appendU32(append(out, 0x22), local)     // local.tee
	out = appendU32(append(out, 0x23), m.globals) // global.get
	out = appendU32(append(out, 0x20), local)     // local.get
	// i64.extend_i32_u; i64.const bulkShift; i64.shr_u; i64.sub
	out = append(out, 0xad, 0x42, bulkShift, 0x88, 0x7d)
	return m.check(out)
}

// check stores what is on top of the stack as the new fuel.
func (m *metering) check(out []byte) []byte {
	out = appendU32(append(out, 0x24), m.globals) // global.set
	out = appendU32(append(out, 0x23), m.globals) // global.get
	// i64.const 0; i64.lt_s; if; unreachable; end
	return append(out, 0x42, 0, 0x53, opIf, 0x40, opUnreachable, opEnd)
}
