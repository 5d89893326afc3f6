// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"net"
	"slices"
	"time"
)

// The size of a link is the greatest UDP payload that the way to a peer is known to
// carry, in bytes. It is searched for as in RFC 8899 (DPLPMTUD), in each direction by the
// host that sends: with datagrams of the session itself that are padded to the size in
// question, and that the other side answers. The kernel cuts nothing (DF is set), and what
// routers say is not needed. A handshake proves basePacket, as QUIC pads what begins a
// connection to that; so nothing is sent over a link whose size is not proven. Sealed
// datagrams that are longer are sent in parts (part.go).
//
//	linkProbe   number (4), size (2), padding up to the size
//	linkProbed  number (4), size that came (2)
const (
	linkProbe  = 3
	linkProbed = 4
	probeHead  = 8
)

const (
	maxUDP       = 65_507           // the greatest UDP payload there is, over IPv4
	sizeStep     = 4                // a size is found to fewer bytes than that
	probeTries   = 3                // RFC 8899: MAX_PROBES
	probeWait    = time.Second      // PROBE_TIMER
	confirmEvery = 2 * time.Second  // the size in use is asked about, while it is used
	raiseEvery   = 10 * time.Minute // PMTU_RAISE_TIMER: the way may carry more by now
)

// path is the search for a link's size, and its end. Under peer.mu, but for size.
type path struct {
	above   uint16 // the least that is known not to pass; 0: nothing is
	probe   uint16 // the size that is asked about; 0: none is
	number  uint32 // of the probe
	tries   uint8
	confirm bool          // the probe is of the size in use
	sent    time.Duration // of the probe's last try
	next    time.Duration // to confirm, or to search again
}

// pathBegins forgets what is known of the way to the peer but what the handshake has
// proven. p.mu is held.
func (p *peer) pathBegins() {
	p.size.Store(basePacket)
	p.path = path{number: p.path.number, next: p.t.now() + raiseEvery}
}

// probeDue gives the probe that is to be sent now, nil if there is none: called once a
// second, and when there is news. p.mu is held.
func (p *peer) probeDue(now time.Duration) []byte {
	w := &p.path
	if s := p.sendSession(); s == nil || !s.link {
		return nil
	}
	if w.probe != 0 {
		switch {
		case now-w.sent < probeWait:
			return nil
		case w.tries < probeTries:
			return p.ask(now)
		case w.confirm:
			p.pathLost(int(w.probe))
		default:
			w.above, w.probe = w.probe, 0
		}
	}
	if size := p.nextSize(); size != 0 {
		w.probe, w.tries, w.confirm = uint16(size), 0, false
		return p.ask(now)
	}
	if now >= w.next && w.above != 0 {
		w.above, w.next = 0, now+raiseEvery
		return p.probeDue(now)
	}
	if size := int(p.size.Load()); p.big.Swap(false) && size > basePacket {
		w.probe, w.tries, w.confirm = uint16(size), 0, true
		return p.ask(now)
	}
	return nil
}

// ask makes the next try of the probe. p.mu is held.
func (p *peer) ask(now time.Duration) []byte {
	w := &p.path
	if w.tries == 0 {
		w.number++
	}
	w.tries++
	w.sent = now
	b := make([]byte, probeHead)
	b[0], b[1] = linkMark, linkProbe
	binary.BigEndian.PutUint32(b[2:], w.number)
	binary.BigEndian.PutUint16(b[6:], w.probe)
	return b
}

// plateaus are the sizes that are asked about first: what fits the customary MTUs, with
// IPv6 and IPv4 and the usual tunnels. A way that carries one of them most often does not
// carry much more.
var plateaus = [...]int{1232, 1252, 1372, 1392, 1412, 1432, 1444, 1452, 1464, 1472, 2020, 4324, 8932, 8952, 8972, 16356, 32740, 65487, maxUDP}

// nextSize is the size to ask about next; 0: the search has ended. First what the
// transport itself can use, then the plateaus from below, then whether the last one that
// passed is the end, and if it is not, halves. p.mu is held.
func (p *peer) nextSize() int {
	size, most := int(p.size.Load()), min(maxUDP, int(p.largest))
	above := int(p.path.above)
	if above != 0 {
		most = min(most, above-1)
	}
	switch {
	case size >= most || above != 0 && above-size <= sizeStep:
		return 0
	case above == 0 && size < maxDatagram:
		return min(maxDatagram, most)
	}
	at, found := slices.BinarySearch(plateaus[:], size+1)
	if found || at < len(plateaus) && plateaus[at] <= most {
		return plateaus[at]
	}
	if _, flat := slices.BinarySearch(plateaus[:], size); above == 0 || flat || size == basePacket || size == maxDatagram {
		return min(size+sizeStep, most)
	}
	return (size + most + 1) / 2
}

// pathLost is a size in use that does not pass any more: a black hole, or a device that
// takes less than it did. p.mu is held.
func (p *peer) pathLost(size int) {
	p.pathBegins()
	p.path.above = uint16(size)
	p.t.stats.blackHoles.Add(1)
	p.t.cfg.Log.Warn("a link carries less than before", "host", p.id.String(), "addr", p.addr.String(), "bytes", size)
}

// tooBig is what the kernel says of a datagram of size bytes.
func (p *peer) tooBig(size int) {
	p.mu.Lock()
	w := &p.path
	switch {
	case int(w.probe) == size && !w.confirm:
		w.above, w.probe = w.probe, 0
	case size <= int(p.size.Load()) && size > basePacket:
		p.pathLost(size)
	}
	now := p.t.now()
	b := p.probeDue(now)
	p.mu.Unlock()
	p.queueProbe(b)
}

// probed takes the answer to a probe.
func (p *peer) probed(b []byte) {
	p.mu.Lock()
	w := &p.path
	size := int(binary.BigEndian.Uint16(b[6:]))
	if w.probe == 0 || binary.BigEndian.Uint32(b[2:]) != w.number || size != int(w.probe) {
		p.mu.Unlock()
		return // late
	}
	w.probe = 0
	if !w.confirm {
		p.size.Store(int32(size))
	}
	next := p.probeDue(p.t.now())
	p.mu.Unlock()
	p.queueProbe(next)
}

// search begins or goes on to look for the link's size, now that there is a session.
func (p *peer) search() {
	p.mu.Lock()
	var b []byte
	if p.path.probe == 0 {
		b = p.probeDue(p.t.now())
	}
	p.mu.Unlock()
	p.queueProbe(b)
}

// queueProbe sends what probeDue gave; p.mu is not held. The caller may be the sender.
func (p *peer) queueProbe(b []byte) {
	if b != nil {
		p.t.spawn(func() { p.t.sendLink(p, b) })
	}
}

// answerProbe says which size has come.
func (t *Transport) answerProbe(p *peer, b []byte) {
	a := append(make([]byte, 0, probeHead), b[:probeHead]...)
	a[1] = linkProbed
	binary.BigEndian.PutUint16(a[6:], uint16(len(b)+overhead))
	t.spawn(func() { t.sendLink(p, a) })
}

func isProbe(b []byte) bool { return len(b) == probeHead && b[0] == linkMark && b[1] == linkProbe }

// sendProbe seals and sends a probe as one datagram, whatever its size.
func (t *Transport) sendProbe(p *peer, s *session, to *net.UDPAddr, b []byte) {
	size := int(binary.BigEndian.Uint16(b[6:]))
	d := make([]byte, size)
	copy(d[outerSize:], b)
	n := s.seal(typeControl, d, size-tagSize)
	if n == 0 {
		return
	}
	if _, err := t.data.conn.WriteToUDPAddrPort(d[:n], to.AddrPort()); isTooBig(err) {
		p.tooBig(size)
	} else if err != nil {
		p.stats.txErrors.Add(1)
	}
	p.stats.txBytes.Add(uint64(n))
}
