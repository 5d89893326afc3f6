// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// gossip is gossipsub on go-libp2p: TCP, TLS 1.3 or Noise, yamux.
type gossip struct {
	ctx    context.Context
	cancel context.CancelFunc
	hosts  []host.Host
	topics []*pubsub.Topic
}

const topicName = "stream"

// node starts a host with gossipsub and joins the topic.
func (g *gossip) node(opts ...pubsub.Option) (*pubsub.Topic, error) {
	h, err := libp2p.New(
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(),
	)
	if err != nil {
		return nil, fmt.Errorf("libp2p host: %w", err)
	}
	g.hosts = append(g.hosts, h)
	ps, err := pubsub.NewGossipSub(g.ctx, h, opts...)
	if err != nil {
		return nil, fmt.Errorf("gossipsub: %w", err)
	}
	t, err := ps.Join(topicName)
	if err != nil {
		return nil, fmt.Errorf("gossipsub: %w", err)
	}
	g.topics = append(g.topics, t)
	return t, nil
}

func (g *gossip) connect(a, b int) error {
	return g.hosts[a].Connect(g.ctx, peer.AddrInfo{ID: g.hosts[b].ID(), Addrs: g.hosts[b].Addrs()})
}

// newGossipsub gives it what helps it here: no signature on each message (the
// connections are authenticated), a message id that costs nothing, queues that hold
// the window, and a mesh in which the hub is next to all.
func newGossipsub(fan int, deliver deliverFunc) (system, error) {
	g := &gossip{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	params := pubsub.DefaultGossipSubParams()
	params.D, params.Dhi = max(params.D, fan+1), max(params.Dhi, fan+4)
	opts := []pubsub.Option{
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(func(m *pb.Message) string { return string(m.Data[:8]) }),
		pubsub.WithPeerOutboundQueueSize(4096), pubsub.WithValidateQueueSize(4096),
		pubsub.WithGossipSubParams(params),
	}
	for i := range fan + 2 {
		t, err := g.node(opts...)
		if err != nil {
			g.close()
			return nil, err
		}
		if i == 0 {
			continue // the publisher
		}
		sub, err := t.Subscribe(pubsub.WithBufferSize(4096))
		if err == nil {
			// The hub dials the publisher, the subscribers dial the hub.
			err = g.connect(i, min(i-1, 1))
		}
		if err != nil {
			g.close()
			return nil, err
		}
		go func() {
			for {
				m, err := sub.Next(g.ctx)
				if err != nil {
					return
				}
				if i >= 2 {
					deliver(i-2, m.Data)
				}
			}
		}()
	}
	return g, nil
}

func (g *gossip) publish(batch [][]byte) error {
	for _, b := range batch {
		if err := g.topics[0].Publish(g.ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (g *gossip) close() {
	g.cancel()
	for _, h := range g.hosts {
		_ = h.Close()
	}
}
