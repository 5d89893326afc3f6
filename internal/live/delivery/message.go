// SPDX-License-Identifier: Apache-2.0

package delivery

import "sandstream/internal/live/frame"

// message puts a payload together that came as several packets, in order. One that is not
// whole is of no use, and its packets count as lost.
type message struct {
	whole   Packet
	have    uint64 // packets of it
	emptied uint64 // of those, what SPAs or relays took the payload out of
	alone   bool   // a packet that came says that each is of use without the others
}

// drop gives up what there is of a message, and says how many packets that were.
func (m *message) drop() (lost uint64) {
	lost = m.have
	*m = message{}
	return lost
}

// cut drops what there is if p does not go on with it, or p if nothing is there that it
// goes on with; it says how many packets that were.
func (m *message) cut(p *Packet) (lost uint64) {
	if m.have > 0 && (uint64(p.part) != m.have || p.lastPart != m.whole.lastPart) {
		lost = m.drop()
	}
	if m.have == 0 && p.part > 0 {
		lost++
	}
	return lost
}

// join adds p, and makes it the message if it was the last packet. filtered are packets that
// were emptied: a message is given without them if its packets are of use alone, and not at
// all if they are not.
func (m *message) join(p *Packet) (filtered uint64, whole bool) {
	if uint64(p.part) != m.have {
		return 0, false // cut has counted it
	}
	if m.have == 0 {
		m.whole = *p
	} else {
		m.whole.Data = append(m.whole.Data, p.Data...)
		m.whole.Flags |= p.Flags
		m.whole.elapsed, m.whole.at = max(m.whole.elapsed, p.elapsed), p.at
	}
	m.have++
	if len(p.Data) == 0 {
		m.emptied++
	} else if p.Flags&frame.Alone != 0 {
		m.alone = true
	}
	if p.part < p.lastPart {
		return 0, false
	}
	*p, filtered = m.whole, m.emptied
	whole = m.emptied == 0 || m.alone && m.emptied < m.have
	if !whole || len(p.Data) > frame.MaxMessage {
		filtered, whole = m.have, false
	}
	p.packets = uint32(m.have - filtered)
	m.drop()
	return filtered, whole
}

// newest is how far a stream has come by what its sealers say, which nobody on the way can
// change.
type newest struct {
	epoch uint32
	sent  uint64 // ns
}

// before says whether a packet is from later than all before it.
func (n *newest) before(h *frame.Header) bool { return h.Epoch > n.epoch || h.SentNs > n.sent }

func (n *newest) take(h *frame.Header) {
	n.epoch, n.sent = max(n.epoch, h.Epoch), max(n.sent, h.SentNs)
}
