// SPDX-License-Identifier: Apache-2.0

package payload

// Drop classes of a payload, from what stays longest. Package frame's are the same.
const (
	Keep       = 0 // tables, key frames, and what is not understood
	Secondary  = 1 // sound and data
	Predicted  = 2 // pictures that need others
	Disposable = 3
	Stuffing   = 4 // null packets
)

// Classifier finds out which payloads of an MPEG-TS stream may go before others. It
// remembers which PIDs are video, and whether their present picture is a key frame. The
// zero Classifier is ready. Loss before it, or tables it does not see, make it keep more.
type Classifier struct {
	pids map[uint16]*pidState
	pmt  map[uint16]bool
}

type pidState struct {
	video bool
	key   bool // the present picture can be decoded alone
}

const (
	pidPAT   = 0
	pidFree  = 0x20 // below: tables of fixed PIDs
	pidNull  = 0x1fff
	maxPIDs  = 256 // remembered of a stream
	crcBytes = 4
)

// Run is a part of a payload, in bytes, with its drop class.
type Run struct {
	Bytes int
	Class uint8
}

// Runs divides a payload into parts between which it is of use to tell: pictures that need
// others, and what goes before those, on one side; all else on the other. A part's class is
// the least of its packets'. It appends to runs. What is no MPEG-TS is one part, to keep.
func (c *Classifier) Runs(runs []Run, p []byte) []Run {
	if !IsTS(p) {
		return append(runs, Run{len(p), Keep})
	}
	first := len(runs)
	for ; len(p) > 0; p = p[tsPacket:] {
		class := c.packet(p[:tsPacket])
		if n := len(runs) - 1; n >= first && (runs[n].Class >= Predicted) == (class >= Predicted) {
			runs[n].Bytes += tsPacket
			runs[n].Class = min(runs[n].Class, class)
			continue
		}
		runs = append(runs, Run{tsPacket, class})
	}
	return runs
}

func (c *Classifier) packet(p []byte) uint8 {
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	switch {
	case p[1]&0x80 != 0:
		return Keep // damaged: what it says is not to be trusted
	case pid == pidNull:
		return Stuffing
	case pid == pidPAT:
		c.learn(p)
		return Keep
	case pid < pidFree || c.pmt[pid]:
		return Keep
	}
	s := c.pids[pid]
	if id, begins := elementary(p); begins {
		if s == nil {
			if len(c.pids) >= maxPIDs {
				return Keep
			}
			if c.pids == nil {
				c.pids = map[uint16]*pidState{}
			}
			s = &pidState{}
			c.pids[pid] = s
		}
		s.video = id&0xf0 == 0xe0
		s.key = p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x40 != 0
	}
	switch {
	case s == nil:
		return Keep
	case !s.video:
		return Secondary
	case s.key:
		return Keep
	}
	return Predicted
}

// elementary is the id of the elementary stream of which a PES begins in p, if one does.
func elementary(p []byte) (id byte, begins bool) {
	at := 4
	if p[3]&0x20 != 0 {
		at += 1 + int(p[4])
	}
	if p[1]&0x40 == 0 || p[3]&0x10 == 0 || at+4 > tsPacket || p[at] != 0 || p[at+1] != 0 || p[at+2] != 1 {
		return 0, false
	}
	return p[at+3], true
}

// learn takes the PIDs of the programs' tables from a PAT that begins and ends in p.
func (c *Classifier) learn(p []byte) {
	at := 4
	if p[3]&0x20 != 0 {
		at += 1 + int(p[4])
	}
	if p[1]&0x40 == 0 || p[3]&0x10 == 0 || at >= tsPacket {
		return
	}
	at += 1 + int(p[at]) // pointer_field
	if at+8 > tsPacket || p[at] != 0 {
		return
	}
	end := at + 3 + int(p[at+1]&0x0f)<<8 + int(p[at+2]) - crcBytes
	pmt := map[uint16]bool{}
	for at += 8; at+4 <= min(end, tsPacket); at += 4 {
		if p[at]|p[at+1] != 0 { // program 0 is the network's table
			pmt[uint16(p[at+2]&0x1f)<<8|uint16(p[at+3])] = true
		}
	}
	c.pmt = pmt
}
