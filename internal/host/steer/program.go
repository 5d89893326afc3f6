// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const (
	maxQueues = 256
	maxFlows  = 4096
)

// Actions of XDP (linux/bpf.h).
const (
	xdpPass     = 2
	xdpRedirect = 4
)

// Offsets in a frame: Ethernet without a tag, IPv4 without options, UDP. 16-bit
// constants are compared as a little-endian load sees network byte order.
const (
	offEtherType = 12
	offVersion   = 14
	offFragment  = 20
	offProtocol  = 23
	offDstIP     = 30
	offDstPort   = 36
	frameMin     = 42

	etherTypeIPv4 = 0x0008
	fragmentBits  = 0xff3f // more fragments, or an offset
)

// Offsets in struct xdp_md.
const (
	ctxData    = 0
	ctxDataEnd = 4
	ctxQueue   = 16
)

func socketsSpec() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: "uls_sockets", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: maxQueues}
}

func flowsSpec() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: "uls_flows", Type: ebpf.Hash, KeySize: 8, ValueSize: NoteSize, MaxEntries: maxFlows}
}

// program is written in assembly rather than compiled: it is forty instructions,
// and building the project then needs no clang.
//
// R6 context, R7 destination address, R8 destination port, R9 queue; the key of
// the flow map stands at the top of the stack.
func program(sockets, flows *ebpf.Map) *ebpf.ProgramSpec {
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, ctxData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, ctxDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, frameMin),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),

		asm.LoadMem(asm.R0, asm.R2, offEtherType, asm.Half),
		asm.JNE.Imm(asm.R0, etherTypeIPv4, "pass"),
		asm.LoadMem(asm.R0, asm.R2, offVersion, asm.Byte),
		asm.JNE.Imm(asm.R0, 0x45, "pass"), // version 4, header of 20 bytes
		asm.LoadMem(asm.R0, asm.R2, offFragment, asm.Half),
		asm.And.Imm(asm.R0, fragmentBits),
		asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R0, asm.R2, offProtocol, asm.Byte),
		asm.JNE.Imm(asm.R0, 17, "pass"), // UDP

		asm.LoadMem(asm.R7, asm.R2, offDstIP, asm.Word),
		asm.LoadMem(asm.R8, asm.R2, offDstPort, asm.Half),
		asm.LoadMem(asm.R9, asm.R6, ctxQueue, asm.Word),
		asm.StoreMem(asm.RFP, -2, asm.R9, asm.Half),
		asm.StoreMem(asm.RFP, -4, asm.R8, asm.Half),
		asm.StoreMem(asm.RFP, -8, asm.R7, asm.Word),
	}
	// The exact flow, then those that take any port, any address, anything.
	ins = append(ins, lookup(flows)...)
	ins = append(ins, asm.StoreImm(asm.RFP, -4, 0, asm.Half))
	ins = append(ins, lookup(flows)...)
	ins = append(ins, asm.StoreImm(asm.RFP, -8, 0, asm.Word))
	ins = append(ins, lookup(flows)...)
	ins = append(ins, asm.StoreMem(asm.RFP, -4, asm.R8, asm.Half))
	ins = append(ins, lookup(flows)...)
	ins = append(ins,
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),

		// No socket on this queue, or it is being closed: pass.
		asm.LoadMapPtr(asm.R1, sockets.FD()).WithSymbol("redirect"),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: "uls_steer", Type: ebpf.XDP, License: "Apache-2.0", Instructions: ins}
}

func lookup(flows *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, flows.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "redirect"),
	}
}
