// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sandstream/internal/model/scenario"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/simnet"
	"sandstream/internal/overlay/wire"
)

// links gives the delays of a drawn physical network. Hosts that join later
// take the places of the network's hosts in turn.
type links struct {
	net   *scenario.Network
	hosts int
	unit  time.Duration // of one unit of path length
}

// Delay implements simnet.Links.
func (l links) Delay(a, b int) simnet.Time {
	d := l.net.Hosts.Dist(uint32(a%l.hosts), uint32(b%l.hosts))
	return max(50*time.Microsecond, time.Duration(d)*l.unit)
}

// world is one overlay under churn.
type world struct {
	*params
	w    *simnet.Net
	rng  *rand.Rand
	live []*simnet.Host // joined or joining, up; publishers first
	pubs int
	subs []*subscription

	joins, leaves, crashes int
	growTime               simnet.Time
}

// subscription is one subscriber of one stream.
type subscription struct {
	host   *simnet.Host
	id     overlay.SubID
	stream wire.StreamID
	state  overlay.ContractState
	since  simnet.Time // of an interruption
	gone   bool        // its host crashed or left
}

// newWorld grows an overlay of p.hosts hosts over the protocol's own joins.
func newWorld(ctx context.Context, p *params, seed uint64, bar func(int)) (*world, error) {
	network, err := p.scenario.Build(seed)
	if err != nil {
		return nil, err
	}
	unit := time.Duration(float64(p.delay) / meanLength(network, seed))
	e := &world{params: p, rng: scenario.Rand(seed, scenario.StreamGroup)}
	e.w = simnet.New(simnet.Config{
		Overlay: p.overlay, Links: links{network, p.scenario.Hosts, max(1, unit)}, Loss: p.loss, Jitter: 0.1, Seed: seed,
	})
	first := e.w.Add()
	e.live = append(e.live, first)
	e.w.Do(first, func(n *overlay.Node, now simnet.Time) { n.Create(now) })
	for i := 1; i < p.scenario.Hosts; i++ {
		e.join()
		// As many new hosts a second as a tenth of those there are.
		e.w.RunFor(min(time.Second, max(time.Second/4000, 10*time.Second/time.Duration(i))))
		if i%256 == 0 {
			if bar(256); ctx.Err() != nil {
				return nil, errors.New("interrupted while the overlay grew")
			}
		}
	}
	if !e.w.Until(5*time.Minute, time.Second, e.allJoined) {
		return nil, fmt.Errorf("of %d hosts not all had joined after %v", p.scenario.Hosts, e.w.Now())
	}
	e.growTime = e.w.Now()
	e.w.RunFor(p.settle)
	return e, nil
}

// meanLength samples the mean path length between hosts.
func meanLength(n *scenario.Network, seed uint64) float64 {
	r := scenario.Rand(seed, scenario.StreamConstraint)
	m := uint32(n.Hosts.Len())
	var sum float64
	const samples = 4096
	for range samples {
		sum += float64(n.Hosts.Dist(r.Uint32N(m), r.Uint32N(m)))
	}
	return max(1, sum/samples)
}

func (e *world) allJoined() bool {
	for _, h := range e.live {
		if !h.Joined {
			return false
		}
	}
	return true
}

// join adds a host over a random live one.
func (e *world) join() {
	h := e.w.Add()
	seed := e.live[e.rng.IntN(len(e.live))]
	for range 8 {
		if seed.Joined {
			break
		}
		seed = e.live[e.rng.IntN(len(e.live))]
	}
	e.live = append(e.live, h)
	e.w.Do(h, func(n *overlay.Node, now simnet.Time) { n.Join(now, []wire.Peer{seed.Peer}) })
}

// subscribeAll makes the streams and their groups.
func (e *world) subscribeAll() error {
	e.pubs = e.streams
	byHost := map[int][]*subscription{}
	e.w.OnEffect = func(h *simnet.Host, fx overlay.Effect) {
		c, ok := fx.(overlay.SubChanged)
		if !ok {
			return
		}
		for _, s := range byHost[h.Index] {
			if s.id == c.Sub.ID {
				e.changed(s, c)
			}
		}
	}
	var ids []wire.StreamID
	for i := range e.streams {
		// Publishers stay: what is asked is whether subscribers lose a stream that goes on.
		j := i + e.rng.IntN(len(e.live)-i)
		e.live[i], e.live[j] = e.live[j], e.live[i]
		var id wire.StreamID
		for k := range id {
			id[k] = byte(e.rng.Uint32())
		}
		var err error
		e.w.Do(e.live[i], func(n *overlay.Node, now simnet.Time) {
			err = n.Announce(now, wire.StreamInfo{ID: id, RateBps: 1e6})
		})
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	e.w.RunFor(2 * time.Second)
	for i := range e.streams * e.group {
		h := e.live[e.streams+e.rng.IntN(len(e.live)-e.streams)]
		s := &subscription{host: h, stream: ids[i%len(ids)], state: overlay.Resolving, since: e.w.Now()}
		var err error
		e.w.Do(h, func(n *overlay.Node, now simnet.Time) { s.id, err = n.Subscribe(now, s.stream, "", wire.Contract{}) })
		if err != nil {
			return err
		}
		byHost[h.Index] = append(byHost[h.Index], s)
		for _, st := range h.Node.Status(e.w.Now()).Subs {
			if st.ID == s.id {
				s.state = st.State // it may have been settled at once: the stream passes the host
			}
		}
		e.subs = append(e.subs, s)
		e.w.RunFor(10 * time.Millisecond)
	}
	e.w.Until(time.Minute, time.Second, func() bool {
		return !slices.ContainsFunc(e.subs, func(s *subscription) bool { return s.state == overlay.Resolving })
	})
	for _, s := range e.subs {
		if s.state != overlay.Admitted {
			return fmt.Errorf("before any churn, host %d is %s, not admitted to its stream", s.host.Index, s.state)
		}
	}
	e.breaks = nil
	return nil
}

// changed follows a subscription's state.
func (e *world) changed(s *subscription, c overlay.SubChanged) {
	was := s.state
	s.state = c.Sub.State
	switch {
	case served(was) && !served(s.state):
		s.since = e.w.Now()
	case !served(was) && served(s.state):
		e.breaks = append(e.breaks, e.w.Now()-s.since)
	}
}

func served(s overlay.ContractState) bool {
	return s == overlay.Admitted || s == overlay.AtRisk || s == overlay.Violated
}

// churn lets hosts come and go for a time: as many leave or crash as join, at
// random instants.
func (e *world) churn(ctx context.Context, bar func(int)) error {
	perSecond := e.rate / 60 * float64(e.scenario.Hosts)
	end := e.w.Now() + e.duration
	next := e.w.Now()
	step := e.w.Now()
	for {
		next += time.Duration(e.rng.ExpFloat64() / perSecond * float64(time.Second))
		if next >= end {
			break
		}
		e.w.Run(next)
		for step+time.Second <= e.w.Now() {
			step += time.Second
			bar(1)
		}
		if ctx.Err() != nil {
			return errors.New("interrupted during churn")
		}
		e.depart()
		e.join()
		e.joins++
	}
	e.w.Run(end)
	return nil
}

func (e *world) depart() {
	i := e.pubs + e.rng.IntN(len(e.live)-e.pubs)
	h := e.live[i]
	e.live = slices.Delete(e.live, i, i+1)
	for _, s := range e.subs {
		if s.host == h {
			s.gone = true
		}
	}
	if e.rng.Float64() < e.crash {
		e.crashes++
		e.w.Crash(h)
		return
	}
	e.leaves++
	e.w.Do(h, func(n *overlay.Node, now simnet.Time) { n.Leave(now) })
}
