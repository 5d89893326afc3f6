// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"

	"sandstream/internal/overlay/wire"
)

// SendControl sends a control message to a host. It never waits: without a
// session the message is kept, up to a bound, while a handshake is tried. An
// error says that it is certainly lost; no error promises nothing.
func (t *Transport) SendControl(to wire.Peer, b []byte) error {
	if t.closed.Load() {
		return ErrClosed
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("send to %s: %w: %d bytes, at most %d", to, ErrTooLong, len(b), MaxMessage)
	}
	if len(b) == 0 {
		return fmt.Errorf("send to %s: an empty message", to)
	}
	if to.ID.IsZero() || to.ID == t.self.ID {
		return fmt.Errorf("send to %s: not another host's id: Connect finds the id at an address", to)
	}
	p := t.peerFor(to)
	if p == nil {
		return fmt.Errorf("send to %s: %w (%d)", to, ErrFull, t.cfg.MaxPeers)
	}
	msg := append([]byte(nil), b...)
	p.mu.Lock()
	s := p.sendSession()
	if s == nil || len(msg) > maxSealed {
		defer p.mu.Unlock()
		return p.keep(msg)
	}
	now := t.now()
	if p.answered.Swap(false) || p.asked == 0 {
		p.asked = now
	} else if now-p.asked > silence {
		// It may have started anew and lost the session.
		p.asked = now
		p.redial()
	}
	if len(p.control) >= controlQueue {
		p.mu.Unlock()
		p.stats.txQueueFull.Add(1)
		return fmt.Errorf("send to %s: %d control messages wait already", to, controlQueue)
	}
	p.control = append(p.control, msg)
	tell := p.needTurn()
	p.mu.Unlock()
	if tell {
		t.enqueue(p)
	}
	t.kick()
	return nil
}

// keep stores a message until there is a session or a connection. p.mu is held.
func (p *peer) keep(msg []byte) error {
	if p.gone {
		p.stats.txNoSession.Add(1)
		return fmt.Errorf("send to %s: %w: others are tried first", p.id, ErrFull)
	}
	if !p.dialling && p.t.now() < p.refuseTo {
		p.stats.txNoSession.Add(1)
		return fmt.Errorf("send to %s: %w lately", p.id, ErrNoAnswer)
	}
	if len(p.pending) >= maxPending || p.waiting+len(msg) > pendingBytes {
		p.stats.txNoSession.Add(1)
		return fmt.Errorf("send to %s: %d messages wait for the handshake already", p.id, len(p.pending))
	}
	p.pending = append(p.pending, msg)
	p.waiting += len(msg)
	p.dial()
	return nil
}

// redial makes a new session although there is one. p.mu is held.
func (p *peer) redial() {
	p.renew = true
	p.dial()
}
