// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"

	"sandstream/internal/live/seal"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
)

// sandstream is this project's transport: the data path of overlayd.
type sandstream struct {
	hosts  []*transport.Transport
	stream wire.StreamID
	batch  []transport.Payload
}

// nothing is a handler for hosts that send no control messages.
type nothing struct{}

func (nothing) Control(wire.Peer, []byte)    {}
func (nothing) Unreachable(wire.Peer, error) {}
func (nothing) Twin(string, bool)            {}

func newSandstream(fan int, deliver deliverFunc, offload bool) (system, error) {
	s := &sandstream{}
	_, _ = rand.Read(s.stream[:])
	token := transport.NewToken()
	for range fan + 2 {
		id, err := transport.NewIdentity()
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		t, err := transport.New(transport.Config{
			Identity: id, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: token, NoOffload: !offload,
			SendRate: -1, RecvRate: -1, // the others have no bound either
		})
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.hosts = append(s.hosts, t)
		if err := t.Start(nothing{}); err != nil {
			return nil, errors.Join(err, s.stop())
		}
	}
	if err := s.wire(deliver); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// wire makes the tree: hosts[0] publishes, hosts[1] is the hub.
func (s *sandstream) wire(deliver deliverFunc) error {
	ctx := context.Background()
	pub, hub, subs := s.hosts[0], s.hosts[1], s.hosts[2:]
	if _, err := pub.Connect(ctx, hub.Self().Addr); err != nil {
		return err
	}
	key := seal.NewKey(seal.Preferred(), 1)
	sealer := seal.NewSealer(s.stream, pub.Self().ID, 0)
	if err := sealer.Use(key); err != nil {
		return err
	}
	var children []transport.Leg
	for i, t := range subs {
		if _, err := hub.Connect(ctx, t.Self().Addr); err != nil {
			return err
		}
		children = append(children, transport.Leg{Host: t.Self()})
		if err := t.SetForward(s.stream, transport.Entry{Upstream: []transport.Leg{{Host: hub.Self()}}}); err != nil {
			return err
		}
		keys := seal.NewRing(s.stream)
		keys.Add(key)
		t.AddSink(s.stream, transport.SinkConfig{Ordered: true, Keys: keys, Deliver: func(ds []transport.Delivery) {
			for j := range ds {
				deliver(i, ds[j].Payload)
			}
		}})
	}
	if err := hub.SetForward(s.stream, transport.Entry{Upstream: []transport.Leg{{Host: pub.Self()}}, Children: children}); err != nil {
		return err
	}
	return pub.SetForward(s.stream, transport.Entry{Seal: sealer, Children: []transport.Leg{{Host: hub.Self()}}})
}

func (s *sandstream) publish(batch [][]byte) error {
	s.batch = s.batch[:0]
	for _, b := range batch {
		s.batch = append(s.batch, transport.Payload{Data: b})
	}
	_, err := s.hosts[0].Publish(s.stream, s.batch)
	return err
}

func (s *sandstream) stop() (err error) {
	for _, t := range s.hosts {
		err = errors.Join(err, t.Close())
	}
	return err
}

func (s *sandstream) close() { _ = s.stop() }
