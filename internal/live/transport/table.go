// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"sandstream/internal/overlay/wire"
)

// peerFor gives the state of a peer, new if need be; nil if there is no place.
// It is not forgotten before it was without use for a while, unless it is a stranger.
func (t *Transport) peerFor(who wire.Peer) *peer {
	t.peerMu.Lock()
	defer t.peerMu.Unlock()
	return t.find(who)
}

// legFor is peerFor for the forwarding table: the peer stays while it has legs.
func (t *Transport) legFor(who wire.Peer) *peer {
	t.peerMu.Lock()
	defer t.peerMu.Unlock()
	p := t.find(who)
	if p != nil {
		p.forwards.Add(1)
	}
	return p
}

// find is peerFor. t.peerMu is held.
func (t *Transport) find(who wire.Peer) *peer {
	p := t.peers[who.ID]
	if p == nil {
		return t.add(who, true)
	}
	p.used.Store(true)
	p.mu.Lock()
	if p.sendSession() == nil && who.Addr.IsValid() && who.Addr != p.addr {
		p.addr, p.refuseTo = who.Addr, 0
	}
	p.mu.Unlock()
	return p
}

// add makes the state of a peer; nil if there is no place. A stranger is a peer
// that somebody else named: it had no session yet, and may not exist. Members can
// name any number of those, so that they have an eighth of the places, and none
// that a host with a session needs. t.peerMu is held.
func (t *Transport) add(who wire.Peer, stranger bool) *peer {
	if stranger && t.strangers >= max(t.cfg.MaxPeers/8, 1) && !t.evictStranger() {
		return nil
	}
	if len(t.peers) >= t.cfg.MaxPeers && !t.evict() && (stranger || !t.evictStranger()) {
		return nil
	}
	p := &peer{t: t, id: who.ID, addr: who.Addr, lastUsed: t.now(), stranger: stranger}
	p.used.Store(true)
	t.peers[who.ID] = p
	if stranger {
		t.strangers++
	}
	return p
}

// evictStranger forgets a stranger: rather one that is not dialled than one that
// waits for that, and that rather than one that is being dialled. Which of them is
// left to chance (of the map's order): were it the oldest, nobody would ever be
// dialled while new ones are named faster than that goes. t.peerMu is held.
func (t *Transport) evictStranger() bool {
	var least *peer
	lowest := 3
	for _, p := range t.peers {
		if !p.stranger || p.forwards.Load() > 0 {
			continue
		}
		rank := 0
		p.mu.Lock()
		switch {
		case p.connecting:
			rank = 2
		case p.dialling:
			rank = 1
		}
		p.mu.Unlock()
		if rank < lowest {
			least, lowest = p, rank
		}
		if lowest == 0 {
			break
		}
	}
	if least == nil {
		return false
	}
	t.forget(least)
	return true
}

// evict forgets the peer that was used least lately, if it is not in use.
// t.peerMu is held.
func (t *Transport) evict() bool {
	var least *peer
	for _, p := range t.peers {
		p.mu.Lock()
		if p.idle(t.now(), 10*time.Second) && (least == nil || p.lastUsed < least.lastUsed) {
			least = p
		}
		p.mu.Unlock()
	}
	if least == nil {
		return false
	}
	t.forget(least)
	return true
}

// idle says whether the peer had no use for so long. p.mu is held.
func (p *peer) idle(now, d time.Duration) bool {
	return p.forwards.Load() == 0 && !p.used.Load() && !p.dialling && !p.ready && p.conn == nil && now-p.lastUsed >= d
}

// forget drops all state of a peer. t.peerMu is held.
func (t *Transport) forget(p *peer) {
	delete(t.peers, p.id)
	if p.stranger {
		t.strangers--
	}
	s := p.stats.load()
	t.past.add(&s)
	p.mu.Lock()
	gone := p.sessions
	p.sessions = [keptSessions]*session{}
	p.gone = true
	p.pending, p.waiting = nil, 0
	if p.cancel != nil {
		p.cancel()
	}
	p.mu.Unlock()
	for _, s := range gone {
		if s != nil {
			t.dropSession(s)
		}
	}
}

// newSession gives an index to a session whose peer and keys are to follow.
func (t *Transport) newSession() (*session, error) {
	s := &session{created: t.now()}
	t.smu.Lock()
	defer t.smu.Unlock()
	for range 16 {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		s.local = binary.BigEndian.Uint32(b[:])
		if _, taken := t.sessions[s.local]; !taken {
			return s, nil
		}
	}
	return nil, errors.New("no free session index") // fewer than 2^13 are in use: this does not happen
}

func (t *Transport) dropSession(s *session) {
	t.smu.Lock()
	defer t.smu.Unlock()
	if t.sessions[s.local] == s {
		delete(t.sessions, s.local)
	}
}

// removeSession takes back a session that the peer does not have after all.
func (t *Transport) removeSession(s *session) {
	p := s.peer
	p.mu.Lock()
	for i := range p.sessions {
		if p.sessions[i] == s {
			p.sessions[i] = nil
		}
	}
	p.mu.Unlock()
	t.dropSession(s)
}
