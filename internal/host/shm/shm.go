// SPDX-License-Identifier: Apache-2.0

// Package shm is the Go side of kmod/uapi/uls_shm.h: the layout of a sandbox's
// slice, the control messages and the notes of an SPA's ELF file.
//
// The C header is the source; read it for what the fields mean. A test of this
// package compiles the header and compares every constant, size and offset with
// the debugging information of the object, so the two cannot drift apart.
// Everything is little endian unless a comment says "network byte order".
package shm

// Layout of the region and of a slice; offsets are bytes from a slice's base.
const (
	ABIVersion = 1
	InfoMagic  = 0x30534c55

	RegionBase = 0xfffffe8000000000
	SliceShift = 30
	SliceSize  = 1 << SliceShift

	OffInfo     = 0x00010000
	OffCounters = 0x00020000
	OffMbox     = 0x00030000
	OffLog      = 0x00040000
	OffImage    = 0x00100000
	OffHeap     = 0x08000000
	OffStacks   = 0x10000000
	OffPool     = 0x18000000
	OffRings    = 0x20000000
	OffUmem     = 0x28000000

	ImageMax    = OffHeap - OffImage
	HeapMax     = OffStacks - OffHeap
	UmemMax     = SliceSize - OffUmem
	StackStride = 0x00040000
	StackMax    = 0x00020000
	RingStride  = 0x01000000
	MboxSize    = 4096
	LogSize     = 0x00010000
	CountersMax = 64
	NameMax     = 32 // with the terminating NUL

	InfoTakeover = 1 << 0
)

// Reasons of an upcall (enum uls_reason).
const (
	UpInit    = 0
	UpRX      = 1
	UpTick    = 2
	UpControl = 3
	UpFini    = 4
	UpNop     = 5
)

// Services (enum uls_service).
const (
	SysReturn = 0
	SysClock  = 1
	SysBudget = 2
	SysCPU    = 3
	SysAbort  = 4
)

// Pseudo-vectors: ways out of an upcall besides an x86 vector.
const (
	ExitSyscall   = 256
	ExitSysenter  = 257
	ExitSyscall32 = 258
)

// Causes of an abort (enum uls_cause).
const (
	CauseNone    = 0
	CauseFault   = 1
	CauseBudget  = 2
	CauseService = 3
	CauseSelf    = 4
	CauseDevice  = 5
	CauseInit    = 6
)

// Types of control messages (enum uls_msg_type).
const (
	MsgTypeParam   = 1
	MsgTypeFlowAdd = 2
	MsgTypeFlowDel = 3
)

// Types of ELF notes of owner NoteOwner, and flags of a manifest.
const (
	NTManifest = 1
	NTParam    = 2
	NTCounter  = 3

	ManifestSerial = 1 << 0
	ManifestFPU    = 1 << 1

	NoteOwner   = "ULS"
	NoteSection = ".note.uls"
)

// Types of a parameter (enum uls_param_type).
const (
	ParamU64  = 1
	ParamBool = 2
	ParamIPv4 = 3 // network byte order in the low 32 bits
	ParamMAC  = 4 // six bytes from the lowest
)

// Msg heads every control message (struct uls_msg); Len counts all of it.
type Msg struct {
	Type uint16
	Len  uint16
	Pad  uint32
}

// MsgParam sets a parameter (struct uls_msg_param).
type MsgParam struct {
	Hdr   Msg
	Index uint32
	Pad   uint32
	Value uint64
}

// MsgFlow adds or deletes a flow (struct uls_msg_flow). Addresses and ports are
// byte arrays because they are in network byte order.
type MsgFlow struct {
	Hdr          Msg
	MatchDstIP   [4]byte
	MatchDstPort [2]byte
	Pad0         uint16
	NewSrcIP     [4]byte
	NewDstIP     [4]byte
	NewSrcPort   [2]byte
	NewDstPort   [2]byte
	NewDstMAC    [6]byte
	NewSrcMAC    [6]byte
}

// Manifest is the note that makes an ELF file an SPA (struct uls_manifest).
type Manifest struct {
	ABI     uint32
	Flags   uint32
	Stack   uint32
	TickUS  uint32
	Heap    uint64
	Name    [NameMax]byte
	Version [NameMax]byte
}

// NoteParam declares a parameter (struct uls_note_param).
type NoteParam struct {
	Type uint32
	Pad  uint32
	Def  uint64
	Name [NameMax]byte
	Help [96]byte
}

// NoteCounter names a counter (struct uls_note_counter).
type NoteCounter struct {
	Name [NameMax]byte
}
