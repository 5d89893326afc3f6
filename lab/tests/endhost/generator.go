// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// generator is /dev/ulsgen: see lab/guest/gen/ulsgen.h, whose structures these are.
type generator struct{ f *os.File }

type genFrame struct {
	dstMAC           [6]byte
	length           uint16
	srcIP, dstIP     [4]byte
	srcPort, dstPort [2]byte // big endian
	port             [16]byte
	floodMAC         [6]byte
	floodPort        [2]byte
	floodIP          [4]byte
}

type genRun struct {
	periodNS                         uint64
	burst, count, spread, seed, size uint32 // size: frames of flood in each shot
	_                                uint32
}

type genStats struct {
	now, first, last                                                     uint64
	offered, missed, returned, strange, shots, stamps, lateMax, burstMax uint32
	spent                                                                uint64
	running                                                              uint32
	_                                                                    uint32
}

// request is the number of an ioctl of type 'g'.
func request(dir, nr uint, size uintptr) uint { return dir<<30 | uint(size)<<16 | 'g'<<8 | nr }

func (g *generator) ioctl(dir, nr uint, arg unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, g.f.Fd(), uintptr(request(dir, nr, size)), uintptr(arg))
	if errno != 0 {
		return fmt.Errorf("generator: ioctl %d: %w", nr, errno)
	}
	return nil
}

// openGenerator sets it up: frames go to eth0, the flood
// to eth1.
func openGenerator(eth0, eth1 net.HardwareAddr) (*generator, error) {
	f, err := os.OpenFile("/dev/ulsgen", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	g := &generator{f}
	frame := genFrame{
		length: 200, srcIP: [4]byte{10, 0, 0, 2}, dstIP: [4]byte{10, 0, 0, 1}, floodIP: [4]byte{10, 9, 9, 9},
		dstMAC: [6]byte(eth0), floodMAC: [6]byte(eth1),
	}
	binary.BigEndian.PutUint16(frame.srcPort[:], 4000)
	binary.BigEndian.PutUint16(frame.dstPort[:], 5000)
	binary.BigEndian.PutUint16(frame.floodPort[:], 9999)
	copy(frame.port[:], "eth0")
	// Its interrupts are those of CPU 0, and what they cost is measured now.
	onCPU(0, func() { err = g.ioctl(1, 1, unsafe.Pointer(&frame), unsafe.Sizeof(frame)) })
	return g, err
}

// traversal is what became of the frames of a run.
type traversal struct {
	offered, missed int
	delays          []time.Duration // of those that came back, sorted
}

func (tr *traversal) quantile(q float64) time.Duration {
	if len(tr.delays) == 0 {
		return 0
	}
	return tr.delays[min(int(q*float64(len(tr.delays))), len(tr.delays)-1)]
}

// delivered is the part of the frames offered that came back.
func (tr *traversal) delivered() float64 { return float64(len(tr.delays)) / float64(tr.offered) }

// run offers n frames at a rate, with so many of the flood for each, and waits for
// those that come back. The first skip frames are not told.
func (g *generator) run(rate, n, flood, skip int) (*traversal, error) {
	r := genRun{periodNS: uint64(1e9/rate) / 10 * 10, burst: 1, count: uint32(n), seed: 1, size: uint32(flood)}
	r.spread = uint32(r.periodNS / 8)
	if err := g.ioctl(1, 2, unsafe.Pointer(&r), unsafe.Sizeof(r)); err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(n) * time.Duration(r.periodNS))
	if err := g.ioctl(0, 4, nil, 0); err != nil {
		return nil, err
	}
	var s genStats
	for before := ^uint32(0); before != s.returned; {
		before = s.returned
		time.Sleep(100 * time.Millisecond)
		if err := g.ioctl(2, 3, unsafe.Pointer(&s), unsafe.Sizeof(s)); err != nil {
			return nil, err
		}
	}
	if s.offered != uint32(n) || s.strange != 0 || s.burstMax > 2 {
		return nil, fmt.Errorf("generator: the run does not count: %+v", s)
	}
	b := make([]byte, 16*n)
	if got, err := g.f.ReadAt(b, 0); got != len(b) {
		return nil, fmt.Errorf("generator: %d bytes of stamps: %w", got, err)
	}
	tr := &traversal{}
	for b = b[16*skip:]; len(b) > 0; b = b[16:] {
		sent, returned := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		tr.offered++
		switch {
		case sent == 0:
			tr.missed++
		case returned != 0:
			tr.delays = append(tr.delays, time.Duration(returned-sent))
		}
	}
	slices.Sort(tr.delays)
	return tr, nil
}
