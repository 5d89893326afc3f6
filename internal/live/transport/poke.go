// SPDX-License-Identifier: Apache-2.0

package transport

import "sandstream/internal/overlay/wire"

// Poke calls every Process of a stream without packets: what it emits then, for
// example because a packet has waited long enough, goes on as if it had come now.
func (t *Transport) Poke(id wire.StreamID) {
	s := t.stream(id)
	if s == nil {
		return
	}
	now := t.now()
	s.mu.Lock()
	if s.entry != nil && s.entry.Process != nil {
		s.process(s.entry.Process, now)
		if len(s.entry.Upstream) == 0 {
			s.sealOut()
		}
		s.distribute(now)
	}
	for i := range s.children {
		c := &s.children[i]
		if c.Process == nil {
			continue
		}
		made := s.run(c.Process, nil, now, false)
		if len(made) > 0 && c.peer.push(made, c.Cost, c.stats) {
			t.enqueue(c.peer)
		}
		for _, p := range made {
			p.release()
		}
	}
	for _, k := range s.sinks {
		if k.cfg.Process != nil {
			k.poke()
		}
	}
	s.mu.Unlock()
	t.kick()
}
