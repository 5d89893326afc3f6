// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
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
		out = append(out, &overlayv1.Hop{Host: hostOf(h.Host), CostUs: h.CostUs, LossPpm: h.LossPpm, StayUs: h.StayUs, Spa: h.SPA, JitterUs: h.JitterUs})
	}
	return out
}

// sessionsOf are the sessions there are, by the peer's id.
func sessionsOf(all []transport.PeerStats) map[wire.HostID]*transport.PeerStats {
	m := map[wire.HostID]*transport.PeerStats{}
	for i := range all {
		if s := &all[i]; s.Up {
			m[s.Peer.ID] = s
		}
	}
	return m
}

func peerOf(p *overlay.PeerStatus, s *transport.PeerStats) *overlayv1.Peer {
	if s == nil {
		s = &transport.PeerStats{}
	}
	return &overlayv1.Peer{
		LinkBytes: uint32(s.Size), Version: s.Version,
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
		if s.Spa == delivery.SplitSPA {
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
		JitterUs: c.JitterUs,
	}
	if loss := c.LossPpm; loss > 0 {
		m.LossPpm = &loss
	}
	return m
}

func contract(m *overlayv1.Contract) (wire.Contract, error) {
	c := wire.Contract{
		LatencyUs: m.GetLatencyUs(), MinRateBps: m.GetMinRateBps(), Degrade: m.GetDegrade(),
		BestEffort: m.GetBestEffort(), NoSwap: m.GetNoSwap(), JitterUs: m.GetJitterUs(),
	}
	if m != nil && m.LossPpm != nil {
		c.LossPpm = max(1, *m.LossPpm) // to the core, 0 is no bound
	}
	for _, name := range c.Degrade {
		if !slices.Contains(delivery.Degraders(), name) {
			return c, fmt.Errorf("degrade by %q: no such SPA can; one of %v", name, delivery.Degraders())
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
		DurationUs: uint64(r.Duration.Microseconds()), JitterUs: r.JitterUs,
	}
}

func countsOf(c *delivery.Counts) *overlayv1.Delivery {
	return &overlayv1.Delivery{
		Packets: c.Packets, Bytes: c.Bytes, Lost: c.Lost, Filtered: c.Filtered, Duplicates: c.Duplicates,
		Reordered: c.Reordered, Late: c.Late, Overrun: c.Overrun, Forged: c.Forged, NoKey: c.NoKey,
	}
}

func changeOf(c *delivery.Change) *overlayv1.Subscription {
	m := &overlayv1.Subscription{
		Id: uint64(c.ID), Stream: c.Stream.String(), Name: c.Name, Contract: contractOf(&c.Contract), State: c.State.String(),
		Reason: c.Reason, Degraded: c.Degraded, Path: pathOf(c.Path), PredictedUs: c.Predicted.CostUs, PredictedLossPpm: c.Predicted.LossPpm,
		PredictedJitterUs: c.Predicted.JitterUs,
		Measured:          reportOf(&c.Measured), Swaps: uint32(c.Swaps), Repairs: uint32(c.Repairs), Delivery: countsOf(&c.Delivered),
	}
	if c.Stream == (wire.StreamID{}) {
		m.Stream = ""
	}
	return m
}

func streamOf(s *overlay.StreamStatus) *overlayv1.Stream {
	m := &overlayv1.Stream{
		Id: s.Info.ID.String(), Name: s.Info.Name, Publisher: hostOf(s.Info.Publisher), RateBps: s.Info.RateBps,
		Public: s.Info.Public, Pipeline: stagesOf(s.Info.Pipeline), Version: s.Info.Version, Local: s.Publisher,
		Path: pathOf(s.Path), Counters: map[string]uint64{}, Readers: s.Readers,
	}
	for _, p := range s.Info.Parts {
		m.Parts = append(m.Parts, p.ID.String())
	}
	for _, c := range s.Children {
		m.Children = append(m.Children, &overlayv1.Branch{Host: hostOf(c.Host), CostUs: c.OutUs, Spa: c.SPA, SharePpm: c.SharePpm})
	}
	for _, id := range s.Local {
		m.Subscriptions = append(m.Subscriptions, uint64(id))
	}
	return m
}

func payloadOf(p *delivery.Packet) *overlayv1.Payload {
	return &overlayv1.Payload{Data: p.Data, Key: p.Flags&frame.Key != 0, Discardable: p.Flags&frame.Discardable != 0}
}

// payloadsOf are a publisher's payloads as the transport takes them.
func payloadsOf(ps []*overlayv1.Payload) []transport.Payload {
	out := make([]transport.Payload, len(ps))
	for i, p := range ps {
		out[i].Data = p.Data
		if p.Key {
			out[i].Flags |= frame.Key
		}
		if p.Discardable {
			out[i].Flags |= frame.Discardable
		}
	}
	return out
}
