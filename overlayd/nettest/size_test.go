// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi/overlayv1"
)

// TestSmallPath has one link of an overlay lose, without a word, all packets longer than
// 1,280 bytes. A host behind it joins all the same, every payload of a stream comes whole,
// and 'overlayd peers' says what the link carries.
func TestSmallPath(t *testing.T) {
	if testing.Short() {
		t.Skip("builds overlayd and runs three of it for 15 s")
	}
	const mtu, headers = 1280, 28
	l := newLab(t, 3, 1, 3*time.Minute)
	defer l.close(t)
	m := netem.NewMatrix(3, netem.Link{Delay: 2 * time.Millisecond})
	m[0][1].MTU, m[1][0].MTU = mtu, mtu
	if err := l.Net.SetLinks(m); err != nil {
		t.Fatal(err)
	}
	if !t.Run("join", l.join) {
		return
	}
	s := Stamped{Name: "whole", Size: 1316, Gap: 10 * time.Millisecond, Base: l.Net.Start()}
	started := make(chan struct{})
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	published := make(chan uint64, 1)
	go func() {
		n, err := s.Publish(ctx, l.Hosts[0].Client, started)
		if err != nil {
			t.Error(err)
		}
		published <- n
	}()
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		t.Fatal("the stream is not announced within 20 s")
	}
	const want = 500
	a := &Arrivals{}
	go func() { _ = s.Subscribe(ctx, l.Hosts[1].Client, &overlayv1.Contract{}, a, nil) }()
	if _, err := eventually(l.ctx, 60*time.Second, 100*time.Millisecond, func() error {
		if n := a.Len(); n < want {
			return fmt.Errorf("%d payloads have come", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	cancel()
	<-published
	if err := a.Err(); err != nil {
		t.Error(err)
	}
	for _, ends := range [][2]int{{0, 1}, {1, 0}} {
		if _, err := eventually(l.ctx, 30*time.Second, 200*time.Millisecond, func() error {
			n, err := l.size(ends[0], ends[1])
			if err == nil && (n > mtu-headers || n <= mtu-headers-8) {
				err = fmt.Errorf("host %d says that its link to host %d carries %d bytes, want %d", ends[0], ends[1], n, mtu-headers)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	var out bytes.Buffer
	p, err := l.CLI(1, nil, &out, &out, "peers")
	if err == nil {
		err = p.wait(l.ctx)
	}
	if err != nil || !strings.Contains(out.String(), "SIZE") || !strings.Contains(out.String(), " 125") {
		t.Errorf("%v: peers prints\n%s", err, out.String())
	}
}

// size is what host i says that its link to host j carries.
func (l *lab) size(i, j int) (int, error) {
	r, err := l.Hosts[i].Client.Peers(l.ctx, connect.NewRequest(&overlayv1.PeersRequest{}))
	if err != nil {
		return 0, err
	}
	for _, p := range r.Msg.Peers {
		if strings.HasPrefix(p.Host.GetAddr(), l.Net.Addr(j).String()+":") {
			return int(p.LinkBytes), nil
		}
	}
	return 0, fmt.Errorf("host %d does not know host %d", i, j)
}
