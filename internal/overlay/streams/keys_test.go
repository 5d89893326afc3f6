// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"bytes"
	"fmt"
	"testing"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

var keyed = wire.StreamID{5}

func keyHost(i int) wire.Peer {
	return wire.Peer{ID: wire.HostID{2, byte(i), byte(i >> 8)}, Addr: wire.SampleHost.Addr}
}

// effects are what happened since they were last asked for, of what keys are about.
func effects(n *Streams) (v []string) {
	n.Effects(func(e turn.Effect) {
		switch e := e.(type) {
		case turn.Send:
			switch m := e.Msg.(type) {
			case *wire.KeyAsk:
				v = append(v, fmt.Sprintf("ask %d %s to %s", m.Number, m.Blob, e.To.ID))
			case *wire.KeyGrant:
				v = append(v, fmt.Sprintf("grant %d %s to %s", m.Number, m.Blob, e.To.ID))
			case *wire.Beat:
				v = append(v, fmt.Sprintf("beat %v to %s", m.Epochs, e.To.ID))
			}
		case KeyAsked:
			v = append(v, fmt.Sprintf("asked %d %s", e.Number, e.Blob))
		case KeyGranted:
			v = append(v, fmt.Sprintf("granted %d %s", e.Number, e.Blob))
		case EpochsChanged:
			v = append(v, fmt.Sprintf("epochs %v", e.Epochs))
		case SubChanged:
			v = append(v, fmt.Sprintf("sub %s %s", e.Sub.State, e.Sub.Reason))
		}
	})
	return v
}

func wantEffects(t *testing.T, n *Streams, what string, want ...string) {
	t.Helper()
	if got := effects(n); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// keyTree is a host in a stream's tree with a parent (host 0) and children (1 and 2).
func keyTree(publisher bool) (*Streams, *stream) {
	n, _ := newStreams(turn.DefaultConfig())
	s := n.addStream(wire.StreamInfo{ID: keyed})
	if s.publisher = publisher; !publisher {
		s.parent = keyHost(0)
	}
	s.children = []child{{Peer: keyHost(1), until: 1 << 60}, {Peer: keyHost(2), until: 1 << 60}}
	return n, s
}

// An ask goes up the tree once, and its answer down the way that it came; what comes from
// elsewhere goes nowhere.
func TestKeysPassARelay(t *testing.T) {
	n, s := keyTree(false)
	ask := func(from, number int) {
		n.Handle(keyHost(from), &wire.KeyAsk{Stream: keyed, Number: uint64(number), Blob: []byte("please")})
	}
	grant := func(from, number int) {
		n.Handle(keyHost(from), &wire.KeyGrant{Stream: keyed, Number: uint64(number), Blob: []byte("here")})
	}
	ask(1, 7)
	wantEffects(t, n, "a child asks", "ask 7 please to "+keyHost(0).ID.String())
	ask(2, 7)
	ask(1, 7)
	ask(3, 8) // no child
	ask(0, 9) // the parent
	wantEffects(t, n, "what was asked before, or by others")
	grant(1, 7)
	grant(3, 7)
	grant(0, 8)
	wantEffects(t, n, "an answer from elsewhere, or to nothing")
	grant(0, 7)
	wantEffects(t, n, "the answer", "grant 7 here to "+keyHost(1).ID.String())
	grant(0, 7)
	wantEffects(t, n, "the answer again")
	ask(1, 10)
	effects(n)
	n.Advance(n.Now + keyAskLife + 1)
	ask(2, 11)
	if len(n.keyAsks) != 1 {
		t.Errorf("%d asks are remembered, one is not too old", len(n.keyAsks))
	}
	s.parent = wire.Peer{}
	effects(n)
	ask(1, 12)
	wantEffects(t, n, "no way up")
	if n.Counts()["key-ask-dropped"] != 5 || n.Counts()["key-grant-dropped"] != 4 {
		t.Errorf("counts %v", n.Counts())
	}
	n.Handle(keyHost(1), &wire.KeyAsk{Stream: wire.StreamID{9}, Number: 1})
	n.Handle(keyHost(0), &wire.KeyGrant{Stream: wire.StreamID{9}, Number: 1})
	wantEffects(t, n, "another stream")
}

// Who asks too much loses his own oldest asks, not others'.
func TestKeyAsksAreBounded(t *testing.T) {
	n, s := keyTree(false)
	n.Handle(keyHost(1), &wire.KeyAsk{Stream: keyed, Number: 1})
	for i := range 10 * maxAsksFrom {
		n.Handle(keyHost(2), &wire.KeyAsk{Stream: keyed, Number: uint64(100 + i)})
	}
	if len(n.keyAsks) != maxAsksFrom+1 || n.keyAsks[0].number != 1 {
		t.Errorf("%d asks, the first of them %d", len(n.keyAsks), n.keyAsks[0].number)
	}
	for i := range 2 * maxKeyAsks / maxAsksFrom {
		c := keyHost(10 + i)
		s.children = append(s.children, child{Peer: c, until: 1 << 60})
		for j := range maxAsksFrom {
			n.Handle(c, &wire.KeyAsk{Stream: keyed, Number: uint64(1000 + 100*i + j)})
		}
	}
	if len(n.keyAsks) != maxKeyAsks {
		t.Errorf("%d asks in all", len(n.keyAsks))
	}
}

// The publisher is asked, and answers; its epochs go down at once.
func TestPublisherIsAsked(t *testing.T) {
	n, _ := keyTree(true)
	n.Handle(keyHost(1), &wire.KeyAsk{Stream: keyed, Number: 7, Blob: []byte("please")})
	wantEffects(t, n, "a child asks", "asked 7 please")
	n.GrantKey(keyed, 8, []byte("here"))
	n.GrantKey(keyed, 7, bytes.Repeat([]byte("x"), wire.MaxKeyBlob+1))
	wantEffects(t, n, "an answer to nothing, or too long")
	n.Handle(keyHost(1), &wire.KeyAsk{Stream: keyed, Number: 9, Blob: []byte("please")})
	n.GrantKey(keyed, 9, []byte("here"))
	wantEffects(t, n, "the answer", "asked 9 please", "grant 9 here to "+keyHost(1).ID.String())
	n.Handle(keyHost(0), &wire.KeyGrant{Stream: keyed, Number: 9})
	wantEffects(t, n, "nobody answers a publisher")
	e := wire.Epochs{Epoch: 3, Next: 4}
	n.SetEpochs(keyed, e)
	wantEffects(t, n, "epochs", fmt.Sprintf("beat %v to %s", e, keyHost(1).ID), fmt.Sprintf("beat %v to %s", e, keyHost(2).ID))
	n.SetEpochs(keyed, e)
	n.SetEpochs(wire.StreamID{9}, e)
	wantEffects(t, n, "nothing new")
	if _, err := n.AskKey(keyed, nil); err == nil {
		t.Error("a publisher asks itself")
	}
}

// A subscriber asks, is answered, hears of epochs, and is refused.
func TestSubscriberAsks(t *testing.T) {
	n, s := keyTree(false)
	if _, err := n.AskKey(keyed, make([]byte, wire.MaxKeyBlob+1)); err == nil {
		t.Error("an ask that is too long")
	}
	if _, err := n.AskKey(wire.StreamID{9}, nil); err == nil {
		t.Error("an ask without a path")
	}
	number, err := n.AskKey(keyed, []byte("please"))
	if err != nil {
		t.Fatal(err)
	}
	wantEffects(t, n, "asks", fmt.Sprintf("ask %d please to %s", number, keyHost(0).ID))
	n.Handle(keyHost(0), &wire.KeyGrant{Stream: keyed, Number: number, Blob: []byte("here")})
	wantEffects(t, n, "is answered", fmt.Sprintf("granted %d here", number))
	n.heardEpochs(s, wire.Epochs{Epoch: 3})
	n.heardEpochs(s, wire.Epochs{Epoch: 3})
	wantEffects(t, n, "epochs", "epochs {3 0}")
	n.subs = []*sub{{id: 1, stream: keyed, state: Admitted}, {id: 2, stream: wire.StreamID{9}, state: Admitted}}
	n.KeyRefused(keyed, "no")
	wantEffects(t, n, "is refused", "sub refused no")
	n.PutOut(keyed)
	wantEffects(t, n, "is put out", "sub evicted the publisher has put this subscriber out")
}
