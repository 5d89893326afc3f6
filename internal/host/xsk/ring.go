// SPDX-License-Identifier: Apache-2.0

package xsk

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one of the four, mapped from the kernel. producer and consumer run
// freely; the kernel writes one of them and reads the other, so both are
// touched with atomic operations only. Go's have acquire and release semantics
// on x86-64 and arm64 alike, which is what AF_XDP asks for.
type ring[T any] struct {
	mem                       []byte
	producer, consumer, flags *atomic.Uint32
	desc                      []T
	mask                      uint32
}

func (s *Socket) mapRings() error {
	for _, r := range []struct{ option, entries int }{
		{unix.XDP_UMEM_FILL_RING, s.cfg.FillRing},
		{unix.XDP_UMEM_COMPLETION_RING, s.cfg.CompletionRing},
		{unix.XDP_RX_RING, s.cfg.RX},
		{unix.XDP_TX_RING, s.cfg.TX},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.option, r.entries); err != nil {
			return fmt.Errorf("make an AF_XDP ring of %d entries: %w", r.entries, err)
		}
	}
	var off unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(off))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&off)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return fmt.Errorf("read the offsets of the AF_XDP rings: %w", errno)
	}
	var err error
	if s.rx, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, s.cfg.RX, off.Rx); err != nil {
		return err
	}
	if s.tx, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, s.cfg.TX, off.Tx); err != nil {
		return err
	}
	if s.fill, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, s.cfg.FillRing, off.Fr); err != nil {
		return err
	}
	s.comp, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, s.cfg.CompletionRing, off.Cr)
	return err
}

func mapRing[T any](fd int, pgoff int64, entries int, o unix.XDPRingOffset) (ring[T], error) {
	var t T
	size := int(o.Desc) + entries*int(unsafe.Sizeof(t))
	mem, err := unix.Mmap(fd, pgoff, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring[T]{}, fmt.Errorf("map an AF_XDP ring: %w", err)
	}
	return ring[T]{
		mem:      mem,
		producer: (*atomic.Uint32)(unsafe.Pointer(&mem[o.Producer])),
		consumer: (*atomic.Uint32)(unsafe.Pointer(&mem[o.Consumer])),
		flags:    (*atomic.Uint32)(unsafe.Pointer(&mem[o.Flags])),
		desc:     unsafe.Slice((*T)(unsafe.Pointer(&mem[o.Desc])), entries),
		mask:     uint32(entries - 1),
	}, nil
}

// put appends as many of v as there is room for.
func (r *ring[T]) put(v []T) int {
	prod := r.producer.Load()
	room := uint32(len(r.desc)) - (prod - r.consumer.Load())
	n := min(int(room), len(v))
	for i := range n {
		r.desc[(prod+uint32(i))&r.mask] = v[i]
	}
	r.producer.Store(prod + uint32(n)) // publishes the entries
	return n
}

// take removes up to len(v).
func (r *ring[T]) take(v []T) int {
	cons := r.consumer.Load()
	n := min(int(r.producer.Load()-cons), len(v))
	for i := range n {
		v[i] = r.desc[(cons+uint32(i))&r.mask]
	}
	r.consumer.Store(cons + uint32(n)) // gives the entries back
	return n
}

func (r *ring[T]) needWakeup() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }

// Fill gives frames (UMEM offsets) to the NIC to receive into; it returns how
// many the ring took.
func (s *Socket) Fill(offsets []uint64) int { return s.fill.put(offsets) }

// Receive takes received frames off the ring.
func (s *Socket) Receive(d []unix.XDPDesc) int { return s.rx.take(d) }

// Send queues frames; it returns how many the ring took. Call Kick afterwards.
func (s *Socket) Send(d []unix.XDPDesc) int { return s.tx.put(d) }

// Complete takes the offsets of frames that have been sent.
func (s *Socket) Complete(offsets []uint64) int { return s.comp.take(offsets) }

// Kick wakes the driver up if it asks for it, for sending or receiving.
func (s *Socket) Kick() error {
	if s.tx.needWakeup() {
		err := unix.Sendto(s.fd, nil, unix.MSG_DONTWAIT, nil)
		// The driver was busy, or is sending already: the next Kick will do.
		if err != nil && err != unix.EAGAIN && err != unix.EBUSY && err != unix.ENOBUFS {
			return fmt.Errorf("wake the driver up to send: %w", err)
		}
	}
	if s.fill.needWakeup() {
		_, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EBUSY {
			return fmt.Errorf("wake the driver up to receive: %w", errno)
		}
	}
	return nil
}

// Poll waits until a frame is there to be received, or for the time given.
func (s *Socket) Poll(timeout time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(timeout.Milliseconds()))
	if err == unix.EINTR {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wait for frames: %w", err)
	}
	return n > 0, nil
}
