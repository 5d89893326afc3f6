// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"sandstream/internal/overlay"
)

// peerFor gives the state of a peer, new if need be; nil if there is no place.
func (t *Transport) peerFor(who overlay.Peer) *peer {
	t.peerMu.Lock()
	defer t.peerMu.Unlock()
	p := t.peers[who.ID]
	if p == nil {
		if len(t.peers) >= t.cfg.MaxPeers && !t.evict() {
			return nil
		}
		p = &peer{t: t, id: who.ID, addr: who.Addr, lastUsed: t.now()}
		t.peers[who.ID] = p
		return p
	}
	p.mu.Lock()
	if p.sendSession() == nil && who.Addr.IsValid() && who.Addr != p.addr {
		p.addr, p.refuseTo = who.Addr, 0
	}
	p.mu.Unlock()
	return p
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
	p.mu.Lock()
	gone := p.sessions
	p.sessions = [keptSessions]*session{}
	p.mu.Unlock()
	for _, s := range gone {
		if s != nil {
			t.dropSession(s)
		}
	}
}

// newSession reserves an index for a session whose keys are to follow.
func (t *Transport) newSession(p *peer) (*session, error) {
	s := &session{peer: p, created: t.now()}
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
