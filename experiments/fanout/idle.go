// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"sandstream/internal/live/daemon"
	"sandstream/internal/live/footprint"
	"sandstream/internal/live/transport"
)

// crowd is many hosts in one process.
type crowd interface {
	add() error
	connect(a, b int) error
	close()
}

// settleIdle is how long hosts are left alone before they are measured.
const settleIdle = 8 * time.Second

// idle measures what a host takes that has connections and nothing to do.
func idle(name string, o options) (reading, error) {
	var c crowd
	var err error
	switch name {
	case "overlayd":
		c, err = newDaemonCrowd()
	case "sandstream":
		c = &transportCrowd{token: transport.NewToken()}
	case "gossipsub":
		c = newGossipCrowd()
	default:
		err = fmt.Errorf("idle hosts of %s are not measured: its subscribers are clients", name)
	}
	if err != nil {
		return reading{}, err
	}
	defer c.close()
	footprint.Warm()
	for range 2 {
		if err := c.add(); err != nil {
			return reading{}, err
		}
	}
	if err := c.connect(0, 1); err != nil {
		return reading{}, err
	}
	time.Sleep(settleIdle)
	before := footprint.Read()
	for range o.Hosts {
		if err := c.add(); err != nil {
			return reading{}, err
		}
	}
	for j := 1; j <= o.Degree/2; j++ {
		var wg sync.WaitGroup
		errs := make([]error, o.Hosts)
		for i := range o.Hosts {
			wg.Go(func() { errs[i] = c.connect(2+i, 2+(i+j)%o.Hosts) })
			if i%8 == 7 {
				wg.Wait()
			}
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return reading{}, err
		}
	}
	time.Sleep(settleIdle)
	each := footprint.Read().Each(before, o.Hosts)
	return reading{Heap: each.Heap, Stack: each.Stacks, Gor: each.Goroutines}, nil
}

type transportCrowd struct {
	token transport.Token
	hosts []*transport.Transport
}

func (c *transportCrowd) add() error {
	id, err := transport.NewIdentity()
	if err != nil {
		return err
	}
	t, err := transport.New(transport.Config{Identity: id, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: c.token})
	if err != nil {
		return err
	}
	c.hosts = append(c.hosts, t)
	return t.Start(nothing{})
}

func (c *transportCrowd) connect(a, b int) error {
	_, err := c.hosts[a].Connect(context.Background(), c.hosts[b].Self().Addr)
	return err
}

func (c *transportCrowd) close() { _ = (&sandstream{hosts: c.hosts}).stop() }

// daemonCrowd is whole daemons: members of one overlay, which decides who is
// whose neighbour.
type daemonCrowd struct {
	dir   string
	token transport.Token
	hosts []*daemon.Daemon
}

func newDaemonCrowd() (*daemonCrowd, error) {
	dir, err := os.MkdirTemp("", "fanout-")
	return &daemonCrowd{dir: dir, token: transport.NewToken()}, err
}

func (c *daemonCrowd) add() error {
	dir := filepath.Join(c.dir, strconv.Itoa(len(c.hosts)))
	cfg := daemon.Config{
		Listen: "127.0.0.1:0", Token: c.token.String(), StateDir: dir, Socket: filepath.Join(c.dir, strconv.Itoa(len(c.hosts))+".sock"),
		Version: "fanout",
	}
	if len(c.hosts) == 0 {
		cfg.Create = true
	} else {
		cfg.Join = []string{c.hosts[0].Self().Addr.String()}
	}
	d, err := daemon.New(context.Background(), cfg)
	if err != nil {
		return err
	}
	c.hosts = append(c.hosts, d)
	select {
	case <-d.Joined():
		return nil
	case <-time.After(30 * time.Second):
		return errors.New("a host has not joined after 30 s")
	}
}

func (c *daemonCrowd) connect(int, int) error { return nil }

func (c *daemonCrowd) close() {
	for _, d := range c.hosts {
		d.Close()
	}
	_ = os.RemoveAll(c.dir)
}

// gossipCrowd is hosts with gossipsub as it comes, subscribed to one topic.
type gossipCrowd struct{ g gossip }

func newGossipCrowd() *gossipCrowd {
	c := &gossipCrowd{}
	c.g.ctx, c.g.cancel = context.WithCancel(context.Background())
	return c
}

func (c *gossipCrowd) add() error {
	t, err := c.g.node()
	if err != nil {
		return err
	}
	_, err = t.Subscribe()
	return err
}

func (c *gossipCrowd) connect(a, b int) error { return c.g.connect(a, b) }

func (c *gossipCrowd) close() { c.g.close() }
