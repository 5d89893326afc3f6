// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// Stats are the transport's counters. Those of datagrams that belong to no peer
// are here, the others with their peer.
type Stats struct {
	GSO               bool   `json:"gso"` // trains are sent: UDP_SEGMENT
	GRO               bool   `json:"gro"` // trains are received: UDP_GRO
	Peers             int    `json:"peers"`
	Sessions          int    `json:"sessions"`
	Streams           int    `json:"streams"`
	Handshakes        uint64 `json:"handshakes"`
	HandshakesFailed  uint64 `json:"handshakes_failed"`
	HandshakesRefused uint64 `json:"handshakes_refused"` // too many at once or a second
	QUIC              uint64 `json:"quic"`               // datagrams that were handed to QUIC
	Parts             uint64 `json:"parts"`              // datagrams that were a part of one too long for the link
	BlackHoles        uint64 `json:"black_holes"`        // times that a link carried less than before
	Malformed         uint64 `json:"malformed"`          // neither a sealed datagram nor one that QUIC has a use for
	UnknownIndex      uint64 `json:"unknown_index"`      // of no session
	Unauthentic       uint64 `json:"unauthentic"`        // did not open
	Replayed          uint64 `json:"replayed"`           // seen before or too old
	Version1          uint64 `json:"version_1"`          // data of a host of wire version 1
	ReadCalls         uint64 `json:"read_calls"`         // system calls that received datagrams
	WriteCalls        uint64 `json:"write_calls"`
}

type counters struct {
	handshakes, handshakesFailed, handshakesRefused atomic.Uint64
	malformed, unknownIndex, unauthentic, replayed  atomic.Uint64
	version1                                        atomic.Uint64
	rxCalls, txCalls, rxQUIC, rxParts, blackHoles   atomic.Uint64
}

// Stats gives the transport's counters.
func (t *Transport) Stats() Stats {
	c := &t.stats
	s := Stats{
		GSO: t.data.gso.Load(), GRO: t.data.gro,
		Handshakes: c.handshakes.Load(), HandshakesFailed: c.handshakesFailed.Load(), HandshakesRefused: c.handshakesRefused.Load(), QUIC: c.rxQUIC.Load(), Parts: c.rxParts.Load(), BlackHoles: c.blackHoles.Load(),
		Malformed: c.malformed.Load(), UnknownIndex: c.unknownIndex.Load(), Unauthentic: c.unauthentic.Load(), Replayed: c.replayed.Load(), Version1: c.version1.Load(),
		ReadCalls: c.rxCalls.Load(), WriteCalls: c.txCalls.Load(),
	}
	t.smu.RLock()
	s.Sessions = len(t.sessions)
	t.smu.RUnlock()
	t.peerMu.Lock()
	s.Peers = len(t.peers)
	t.peerMu.Unlock()
	t.streamMu.RLock()
	s.Streams = len(t.streams)
	t.streamMu.RUnlock()
	return s
}

// PeerStats are what has passed between this host and a peer. Packets, unless
// it says bytes.
type PeerStats struct {
	Peer          wire.Peer     `json:"peer"`
	Up            bool          `json:"up"`          // there is a session
	SessionAge    time.Duration `json:"session_age"` // ns
	Handshakes    uint64        `json:"handshakes"`
	Queued        int           `json:"queued"`  // stream packets that wait now
	Size          int           `json:"size"`    // of the link: bytes of the longest datagram that is proven to pass
	Version       string        `json:"version"` // of the wire and of the peer's build
	TxControl     uint64        `json:"tx_control"`
	TxData        uint64        `json:"tx_data"`
	TxBytes       uint64        `json:"tx_bytes"`
	TxQueueFull   uint64        `json:"tx_queue_full"` // dropped, the oldest of a full queue
	TxNoSession   uint64        `json:"tx_no_session"` // dropped, no handshake
	TxErrors      uint64        `json:"tx_errors"`     // refused by the kernel or by QUIC
	RxControl     uint64        `json:"rx_control"`
	RxData        uint64        `json:"rx_data"`
	RxBytes       uint64        `json:"rx_bytes"`
	RxRateLimited uint64        `json:"rx_rate_limited"` // dropped, over the peer's rate
	RxMalformed   uint64        `json:"rx_malformed"`    // opened, but no packet of a stream
	RxNotExpected uint64        `json:"rx_not_expected"` // of a stream that it is not the upstream of
}

type peerStats struct {
	handshakes, txControl, txData, txBytes, txQueueFull, txNoSession, txErrors atomic.Uint64
	rxControl, rxData, rxBytes, rxRateLimited, rxMalformed, rxNotExpected      atomic.Uint64
}

func (c *peerStats) load() PeerStats {
	return PeerStats{
		Handshakes: c.handshakes.Load(),
		TxControl:  c.txControl.Load(), TxData: c.txData.Load(), TxBytes: c.txBytes.Load(), TxQueueFull: c.txQueueFull.Load(),
		TxNoSession: c.txNoSession.Load(), TxErrors: c.txErrors.Load(),
		RxControl: c.rxControl.Load(), RxData: c.rxData.Load(), RxBytes: c.rxBytes.Load(), RxRateLimited: c.rxRateLimited.Load(),
		RxMalformed: c.rxMalformed.Load(), RxNotExpected: c.rxNotExpected.Load(),
	}
}

// add adds b's counters.
func (s *PeerStats) add(b *PeerStats) {
	s.Handshakes += b.Handshakes
	s.TxControl += b.TxControl
	s.TxData += b.TxData
	s.TxBytes += b.TxBytes
	s.TxQueueFull += b.TxQueueFull
	s.TxNoSession += b.TxNoSession
	s.TxErrors += b.TxErrors
	s.RxControl += b.RxControl
	s.RxData += b.RxData
	s.RxBytes += b.RxBytes
	s.RxRateLimited += b.RxRateLimited
	s.RxMalformed += b.RxMalformed
	s.RxNotExpected += b.RxNotExpected
}

// Totals gives the sums of the counters of all peers, those that were forgotten
// included, so that they never fall.
func (t *Transport) Totals() PeerStats {
	t.peerMu.Lock()
	defer t.peerMu.Unlock()
	sum := t.past
	for _, p := range t.peers {
		s := p.stats.load()
		sum.add(&s)
	}
	return sum
}

// Peers gives the counters of all peers, by id.
func (t *Transport) Peers() []PeerStats {
	t.peerMu.Lock()
	ps := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		ps = append(ps, p)
	}
	t.peerMu.Unlock()
	out := make([]PeerStats, len(ps))
	for i, p := range ps {
		out[i] = p.stats.load()
		p.mu.Lock()
		out[i].Peer = wire.Peer{ID: p.id, Addr: p.addr}
		if s := p.sendSession(); s != nil {
			out[i].Up, out[i].SessionAge, out[i].Size = true, t.now()-s.created, int(p.size.Load())
			if p.versions != nil {
				out[i].Version = p.versions.short()
			}
		}
		out[i].Queued = p.n
		p.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b PeerStats) int { return slices.Compare(a.Peer.ID[:], b.Peer.ID[:]) })
	return out
}

// StreamStats are what has passed of a stream.
type StreamStats struct {
	ID         wire.StreamID `json:"id"`
	In         uint64        `json:"in"` // packets, published here or received
	BytesIn    uint64        `json:"bytes_in"`
	Duplicates uint64        `json:"duplicates"` // dropped: came before
	TooFar     uint64        `json:"too_far"`    // dropped: more than MaxHops hops
	BadEmits   uint64        `json:"bad_emits"`  // dropped: an SPA made no packet of this stream
	Forged     uint64        `json:"forged"`     // dropped before an SPA that looks at content: the seal does not fit
	Last       frame.Header  `json:"last"`       // of the newest packet
	Children   []LegStats    `json:"children,omitempty"`
	Sinks      []SinkStats   `json:"sinks,omitempty"`
}

// LegStats are what one child was sent, in packets.
type LegStats struct {
	Host    wire.Peer `json:"host"`
	Path    uint16    `json:"path"`
	Sent    uint64    `json:"sent"`
	Dropped uint64    `json:"dropped"`
	// Stay is the time from a packet's arrival to its sending on, smoothed.
	Stay time.Duration `json:"stay"`
}

// Streams gives the counters of all streams, by id.
func (t *Transport) Streams() []StreamStats {
	t.streamMu.RLock()
	ss := make([]*stream, 0, len(t.streams))
	for _, s := range t.streams {
		ss = append(ss, s)
	}
	t.streamMu.RUnlock()
	out := make([]StreamStats, len(ss))
	for i, s := range ss {
		s.mu.Lock()
		out[i] = StreamStats{
			ID: s.id, In: s.stats.in.Load(), BytesIn: s.stats.bytesIn.Load(), Duplicates: s.stats.duplicates.Load(),
			TooFar: s.stats.tooFar.Load(), BadEmits: s.stats.badEmits.Load(), Forged: s.stats.forged.Load(), Last: s.last,
		}
		for _, c := range s.children {
			out[i].Children = append(out[i].Children, LegStats{Host: c.Host, Path: c.Path, Sent: c.stats.sent.Load(), Dropped: c.stats.dropped.Load(), Stay: time.Duration(c.stats.stay.Load())})
		}
		for _, k := range s.sinks {
			out[i].Sinks = append(out[i].Sinks, k.Stats())
		}
		s.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b StreamStats) int { return cmp.Or(slices.Compare(a.ID[:], b.ID[:])) })
	return out
}
