// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/grant"
	"sandstream/internal/live/seal"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// asking is a protocol that has a publisher at the other end, who answers with what keys
// holds.
type asking struct {
	*protocol
	publisher *transport.Transport
	stream    wire.StreamID
	keys      []seal.Key
	asked     int
	refused   string
}

func (a *asking) AskKey(_ wire.Time, id wire.StreamID, blob []byte) (uint64, error) {
	a.asked++
	q, err := grant.Read(grant.About{Stream: a.stream, Publisher: a.publisher.Self().ID}, blob, a.h.cfg.HostID)
	if err != nil {
		return 0, err
	}
	answer := q.Refuse(a.publisher.Keyholder(), "no")
	if len(a.keys) > 0 {
		if answer, err = q.Grant(a.publisher.Keyholder(), a.keys...); err != nil {
			return 0, err
		}
	}
	n := uint64(a.asked)
	a.h.pending = append(a.h.pending, func() { a.h.KeyGranted(overlay.KeyGranted{Stream: id, Number: n, Blob: answer}) })
	return n, nil
}

func (a *asking) KeyRefused(_ wire.Time, _ wire.StreamID, why string) { a.refused = why }

// A reader asks for what is missing: the first key, the next of which beats tell, and, where
// a host above hides an epoch, that of packets which came. Else it asks for nothing, and a
// refusal is told.
func TestMissingKeys(t *testing.T) {
	h, pub := newTestHost(t), newTestHost(t)
	id := wire.StreamID{9}
	key := func(epoch uint32) seal.Key { return seal.NewKey(seal.AES128GCM, epoch) }
	a := &asking{protocol: h.proto, publisher: pub.tr, stream: id, keys: []seal.Key{key(5)}}
	h.cfg.Protocol = a
	step := func(what string, asked int, f func()) {
		t.Helper()
		if err := h.do(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		if a.asked != asked {
			t.Errorf("%s: asked %d times, want %d", what, a.asked, asked)
		}
	}
	info := wire.StreamInfo{ID: id, Publisher: pub.tr.Self()}
	r, err := h.Streams.Subscribe(t.Context(), id.String(), wire.Contract{})
	if err != nil {
		t.Fatal(err)
	}
	step("a path", 1, func() {
		h.Forward(id, &overlay.ForwardEntry{Upstream: pub.tr.Self(), Info: info, Local: []overlay.SubID{r.id}})
	})
	k := h.keys[id]
	if k.ring.Newest() != 5 {
		t.Fatal("no key")
	}
	step("nothing new", 1, func() { h.EpochsChanged(overlay.EpochsChanged{Stream: id, Epochs: wire.Epochs{Epoch: 5}}); h.Measure() })
	a.keys = append(a.keys, key(6))
	step("a next epoch", 2, func() {
		k.due = 0
		h.EpochsChanged(overlay.EpochsChanged{Stream: id, Epochs: wire.Epochs{Epoch: 5, Next: 6}})
	})
	// The beats hide the next one; its packets come, and are lost until it is asked for.
	a.keys = append(a.keys[1:], key(70))
	sealer := seal.NewSealer(id, pub.tr.Self().ID, 0)
	if err := errors.Join(sealer.Use(a.keys[1]), pub.tr.SetForward(id, transport.Entry{Seal: sealer, Children: []transport.Leg{{Host: h.tr.Self()}}})); err != nil {
		t.Fatal(err)
	}
	if _, err := pub.tr.Connect(t.Context(), h.tr.Self().Addr); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	send := func() {
		n++
		if _, err := pub.tr.Publish(id, []transport.Payload{{Data: binary.BigEndian.AppendUint64(nil, n), Flags: frame.Key}}); err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for k.ring.Newest() != 70 {
		if time.Now().After(deadline) {
			t.Fatal("an epoch that beats hide is never asked for")
		}
		send()
		_ = h.do(context.Background(), func() { k.due = 0; h.Measure() })
		time.Sleep(10 * time.Millisecond)
	}
	if a.asked != 3 {
		t.Errorf("asked %d times, want 3", a.asked)
	}
	send()
	ps, _, _, err := r.Next(t.Context())
	for err == nil && len(ps) == 0 {
		ps, _, _, err = r.Next(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	a.keys = nil
	step("refused", 4, func() {
		k.due = 0
		h.EpochsChanged(overlay.EpochsChanged{Stream: id, Epochs: wire.Epochs{Epoch: 70, Next: 71}})
	})
	if a.refused == "" {
		t.Error("nobody is told of the refusal")
	}
	// Nobody reads: the keys are forgotten.
	r.Close()
	step("closed", 4, func() { h.Forward(id, nil); h.Measure() })
	if len(h.keys) != 0 {
		t.Error("keys stay that nobody needs")
	}
}
