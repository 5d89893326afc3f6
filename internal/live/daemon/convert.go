// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

func hostOf(p wire.Peer) *overlayv1.Host {
	if p.ID.IsZero() && !p.Addr.IsValid() {
		return nil
	}
	// An address from the wire can have a zone of any bytes, which means nothing here.
	addr := netip.AddrPortFrom(p.Addr.Addr().WithZone(""), p.Addr.Port())
	return &overlayv1.Host{Id: p.ID.Hex(), Addr: addr.String()}
}

func zoneOf(r *wire.Record) *overlayv1.Zone {
	z := &overlayv1.Zone{Digits: r.Zone.String(), Counter: r.Counter, Owner: hostOf(r.Owner)}
	for _, h := range r.Heirs {
		if !h.ID.IsZero() {
			z.Heirs = append(z.Heirs, hostOf(h))
		}
	}
	return z
}

func zonesOf(rs []wire.Record) (zs []*overlayv1.Zone) {
	for i := range rs {
		zs = append(zs, zoneOf(&rs[i]))
	}
	return zs
}

func regionOf(r wire.Region) *overlayv1.Region {
	return &overlayv1.Region{Digits: uint32(r.N), Version: r.Version, Hosts: r.Hosts}
}

func pathOf(hops []wire.Hop) (out []*overlayv1.Hop) {
	for _, h := range hops {
		out = append(out, &overlayv1.Hop{Host: hostOf(h.Host), CostUs: h.CostUs, LossPpm: h.LossPpm, StayUs: h.StayUs, Spa: h.SPA})
	}
	return out
}

func peerOf(p *overlay.PeerStatus) *overlayv1.Peer {
	return &overlayv1.Peer{
		Host: hostOf(p.Peer), CostUs: p.CostUs, RttUs: p.RTTUs, VarUs: p.VarUs, LossPpm: p.LossPpm,
		Zones: zonesOf(p.Zones), LastHeardUs: uint64(p.LastHeard.Microseconds()), Suspect: p.Suspect,
	}
}

var places = map[wire.Place]string{wire.AtSource: "source", wire.AtSink: "sink", wire.Anywhere: "anywhere"}

func placeOf(s string) (wire.Place, error) {
	for p, name := range places {
		if s == name {
			return p, nil
		}
	}
	if s == "" {
		return wire.AtSource, nil
	}
	return 0, fmt.Errorf("place %q is not source, sink or anywhere", s)
}

func stagesOf(stages []wire.Stage) (out []*overlayv1.Stage) {
	for _, s := range stages {
		out = append(out, &overlayv1.Stage{Spa: s.SPA, Params: s.Params, Place: places[s.Place]})
	}
	return out
}

// infoOf checks an announcement. The stream has no id yet.
func infoOf(a *overlayv1.Announce) (wire.StreamInfo, error) {
	i := wire.StreamInfo{Name: a.Name, RateBps: a.RateBps, Public: a.Public}
	if len(a.Name) > wire.MaxName {
		return i, fmt.Errorf("name of %d bytes: at most %d", len(a.Name), wire.MaxName)
	}
	if _, err := wire.ParseStreamID(a.Name); err == nil {
		return i, fmt.Errorf("name %q could be a stream's id: choose another", a.Name)
	}
	if a.Public && a.Name == "" {
		return i, fmt.Errorf("a public stream needs a name to be found by")
	}
	if len(a.Pipeline) > wire.MaxStages {
		return i, fmt.Errorf("%d SPAs: at most %d", len(a.Pipeline), wire.MaxStages)
	}
	for _, s := range a.Pipeline {
		p, err := placeOf(s.Place)
		if err != nil {
			return i, err
		}
		if s.Spa == splitSPA {
			return i, errors.New("SPA split is the announcement's field split (publish --split 3:1): it needs a path for each part")
		}
		i.Pipeline = append(i.Pipeline, wire.Stage{SPA: s.Spa, Params: s.Params, Place: p})
	}
	if n := len(a.Split); n > 0 {
		if n != 2 || min(a.Split[0], a.Split[1]) == 0 || max(a.Split[0], a.Split[1]) > math.MaxUint16 {
			return i, fmt.Errorf("split by weights %v: it takes two, from 1 to %d each", a.Split, math.MaxUint16)
		}
		if len(a.Pipeline) == wire.MaxStages {
			return i, fmt.Errorf("%d SPAs and split: at most %d", len(a.Pipeline), wire.MaxStages)
		}
	}
	return i, nil
}

func contractOf(c *wire.Contract) *overlayv1.Contract {
	m := &overlayv1.Contract{
		LatencyUs: c.LatencyUs, MinRateBps: c.MinRateBps, Degrade: c.Degrade, BestEffort: c.BestEffort, NoSwap: c.NoSwap,
	}
	if loss := c.LossPpm; loss > 0 {
		m.LossPpm = &loss
	}
	return m
}

func contract(m *overlayv1.Contract) (wire.Contract, error) {
	c := wire.Contract{
		LatencyUs: m.GetLatencyUs(), MinRateBps: m.GetMinRateBps(), Degrade: m.GetDegrade(),
		BestEffort: m.GetBestEffort(), NoSwap: m.GetNoSwap(),
	}
	if m != nil && m.LossPpm != nil {
		c.LossPpm = max(1, *m.LossPpm) // to the core, 0 is no bound
	}
	for _, name := range c.Degrade {
		if !slices.Contains(degraders, name) {
			return c, fmt.Errorf("degrade by %q: no such SPA can; one of %v", name, degraders)
		}
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	return c, nil
}

func reportOf(r *overlay.Report) *overlayv1.Report {
	return &overlayv1.Report{
		Packets: r.Packets, Lost: r.Lost, Bytes: r.Bytes, MeanUs: r.MeanUs, P99Us: r.P99Us, RateBps: r.RateBps,
		DurationUs: uint64(r.Duration.Microseconds()),
	}
}

// subOf needs the loop: it reads the local reader's counts.
func (d *Daemon) subOf(u *overlay.SubStatus) *overlayv1.Subscription {
	m := &overlayv1.Subscription{
		Id: uint64(u.ID), Stream: u.Stream.String(), Name: u.Name, Contract: contractOf(&u.Contract), State: u.State.String(),
		Reason: u.Reason, Degraded: u.Degraded, Path: pathOf(u.Path), PredictedUs: u.PredictedUs, PredictedLossPpm: u.PredictedPpm,
		Measured: reportOf(&u.Measured), Swaps: uint32(u.Swaps), Repairs: uint32(u.Repairs), Delivery: &overlayv1.Delivery{},
	}
	if u.Stream == (wire.StreamID{}) {
		m.Stream = ""
	}
	if s := d.subs[u.ID]; s != nil {
		t := s.order.sum()
		m.Delivery = &overlayv1.Delivery{
			Packets: t.packets, Bytes: t.bytes, Lost: t.lost, Filtered: t.filtered, Duplicates: t.duplicates,
			Reordered: t.reordered, Late: t.late, Overrun: s.overruns(),
		}
		if s.sink != nil {
			// The orderer misses these numbers too, and takes them for lost.
			here := min(s.sink.Stats().Dropped, t.lost)
			m.Delivery.Overrun += here
			m.Delivery.Lost -= here
		}
	}
	return m
}

func (d *Daemon) streamOf(s *overlay.StreamStatus) *overlayv1.Stream {
	m := &overlayv1.Stream{
		Id: s.Info.ID.String(), Name: s.Info.Name, Publisher: hostOf(s.Info.Publisher), RateBps: s.Info.RateBps,
		Public: s.Info.Public, Pipeline: stagesOf(s.Info.Pipeline), Version: s.Info.Version, Local: s.Publisher,
		Path: pathOf(s.Path), Counters: map[string]uint64{},
	}
	for _, p := range s.Info.Parts {
		m.Parts = append(m.Parts, p.ID.String())
	}
	for _, c := range s.Children {
		m.Children = append(m.Children, &overlayv1.Branch{Host: hostOf(c.Host), CostUs: c.OutUs, Spa: c.SPA, SharePpm: c.SharePpm})
	}
	for _, id := range s.Local {
		m.Subscriptions = append(m.Subscriptions, uint64(id))
		if u := d.subs[id]; u != nil {
			u.sinks.counters("", m.Counters)
		}
	}
	if f := d.flows[s.Info.ID]; f != nil {
		f.ingress.counters("", m.Counters)
		for h, p := range f.branches {
			p.counters(h.String()+".", m.Counters)
		}
	}
	return m
}
