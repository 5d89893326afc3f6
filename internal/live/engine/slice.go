// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"sandstream/internal/host/shm"
)

const (
	pageSize  = 4096
	chunkSize = 2048
	headroom  = 128 // in front of a received frame: room for spa_frame_push
	maxBatch  = 64  // SPA_BATCH, and so the receive and the fill ring
	wasmPage  = 65536
	infoSize  = 296 // struct uls_info

	// A ring's memory: the two indices a cache line apart, then the entries.
	ringCons = 64
	ringDesc = 128
)

// ringInfo is struct uls_ring_info.
type ringInfo struct {
	Addr                                          uint64
	Entries, Producer, Consumer, Flags, Desc, Pad uint32
}

// info is struct uls_info: what an SPA is told of its slice.
type info struct {
	Magic, ABI             uint32
	Base                   uint64
	Flags, CPUs            uint32
	Ifindex, Queue         uint32
	MAC                    [6]byte
	Pad0                   [2]byte
	MTU, Pad2              uint32
	UmemAddr, UmemLen      uint64
	ChunkSize, Headroom    uint32
	RX, TX, Fill, Comp     ringInfo
	PoolAddr, PoolLen      uint64
	HeapAddr, HeapLen      uint64
	LogAddr, LogLen        uint64
	MboxAddr, MboxLen      uint64
	CountersAddr, BudgetNS uint64
	TickNS                 uint64
	TSCKhz, Pad1           uint32
}

// ring is the engine's side of one: our index is kept here, where the SPA
// cannot reach it, and theirs is read once and checked.
type ring struct {
	at, size uint32
	own      uint32
}

func (r ring) info() ringInfo {
	return ringInfo{Addr: uint64(r.at), Entries: r.size, Producer: 0, Consumer: ringCons, Flags: ringCons + 4, Desc: ringDesc}
}

// slice is an SPA's memory as struct uls_info describes it. All positions are
// offsets into linear memory, which never grows after start, so that view holds.
type slice struct {
	view                 []byte
	info, counters, mbox uint32
	log                  uint32
	logRead              uint64
	umem, umemLen        uint32
	rx, tx, fill, comp   ring
}

func le32(b []byte) uint32           { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64           { return binary.LittleEndian.Uint64(b) }
func put32(b []byte, v uint32)       { binary.LittleEndian.PutUint32(b, v) }
func put64(b []byte, v uint64)       { binary.LittleEndian.PutUint64(b, v) }
func (s *slice) u32(o uint32) []byte { return s.view[o : o+4 : o+4] }

func (s *slice) bytes(at, n uint32) []byte { return s.view[at : at+n : at+n] }

func (s *slice) counter(i int) uint64 { return le64(s.view[s.counters+uint32(i)*8:]) }

// layOut puts the slice behind the module's own data and grows memory to hold it.
func (in *Instance) layOut(mod api.Module) error {
	base := mod.ExportedGlobal("__heap_base")
	if base == nil {
		return errors.New("the module does not export __heap_base; build it with `make -C sandboxlib wasm`")
	}
	l, s, heap := in.limits, &in.slice, in.about.manifest.Heap
	if heap > shm.HeapMax {
		return fmt.Errorf("the manifest asks for %d bytes of heap: more than %d", heap, shm.HeapMax)
	}
	at := base.Get() & 0xffffffff
	take := func(n uint64) uint32 {
		at = (at + pageSize - 1) &^ (pageSize - 1)
		p := at
		at += n
		return uint32(p)
	}
	mkRing := func(n, entry uint32) ring { return ring{at: take(ringDesc + uint64(n)*uint64(entry)), size: n} }

	s.info, s.counters = take(infoSize), take(shm.CountersMax*8)
	s.mbox, s.log = take(shm.MboxSize), take(shm.LogSize)
	heapAt, poolAt := take(heap), take(8+8*uint64(l.Frames))
	s.rx, s.fill = mkRing(maxBatch, 16), mkRing(maxBatch, 8)
	s.tx, s.comp = mkRing(l.Frames, 16), mkRing(l.Frames, 8)
	s.umemLen = l.Frames * chunkSize
	s.umem = take(uint64(s.umemLen))

	have := uint64(in.mem.Size()) / wasmPage
	need := (at + wasmPage - 1) / wasmPage
	if need > uint64(l.Pages) {
		return fmt.Errorf("it needs %d pages of memory (64 KiB each), and the limit is %d: raise it, or take fewer frames", need, l.Pages)
	}
	if need > have {
		if _, ok := in.mem.Grow(uint32(need - have)); !ok {
			return fmt.Errorf("memory cannot grow from %d to %d pages", have, need)
		}
	}
	view, ok := in.mem.Read(0, in.mem.Size())
	if !ok {
		return errors.New("memory cannot be read")
	}
	s.view = view

	inf := info{
		Magic: shm.InfoMagic, ABI: shm.ABIVersion, CPUs: 1, Ifindex: 1,
		MAC: localMAC, MTU: mtu,
		UmemAddr: uint64(s.umem), UmemLen: uint64(s.umemLen), ChunkSize: chunkSize, Headroom: headroom,
		RX: s.rx.info(), TX: s.tx.info(), Fill: s.fill.info(), Comp: s.comp.info(),
		PoolAddr: uint64(poolAt), PoolLen: 8 + 8*uint64(l.Frames),
		HeapAddr: uint64(heapAt), HeapLen: heap,
		LogAddr: uint64(s.log), LogLen: shm.LogSize,
		MboxAddr: uint64(s.mbox), MboxLen: shm.MboxSize,
		CountersAddr: uint64(s.counters), BudgetNS: l.Fuel,
		TickNS: uint64(in.about.manifest.TickUS) * 1000,
	}
	copy(s.bytes(s.info, infoSize), encode(inf))
	put32(s.u32(s.log+8), shm.LogSize-pageSize)
	return nil
}

// encode never fails: the types here have fixed sizes.
func encode(v any) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// received is how many frames wait in the receive ring.
func (s *slice) received() uint32 { return s.rx.own - le32(s.u32(s.rx.at+ringCons)) }

// short is true when fewer than n frames wait to be received into and some that
// were sent have not been taken back.
func (s *slice) short(n uint32) bool {
	return le32(s.u32(s.fill.at))-s.fill.own < n && s.comp.own != le32(s.u32(s.comp.at+ringCons))
}

// takeLog is what the log ring holds beyond what was taken before. The SPA owns
// head; size is ours and not read back.
func (s *slice) takeLog() string {
	const size = shm.LogSize - pageSize
	head := le64(s.view[s.log:])
	if head < s.logRead || head-s.logRead > size {
		s.logRead = head - min(head, size)
	}
	out := make([]byte, 0, head-s.logRead)
	for ; s.logRead < head; s.logRead++ {
		out = append(out, s.view[uint64(s.log)+pageSize+s.logRead%size])
	}
	return string(out)
}
