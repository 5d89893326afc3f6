// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/delivery"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// holders are the hosts that have the key of a stream of d, by id.
func holders(t *testing.T, d *Daemon, stream string) map[string]*overlayv1.KeyHolder {
	t.Helper()
	r, err := client(t, d).Subscribers(t.Context(), connect.NewRequest(&overlayv1.SubscribersRequest{Stream: stream}))
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]*overlayv1.KeyHolder{}
	for _, h := range r.Msg.Holders {
		v[h.Host] = h
	}
	return v
}

// Who is put out reads nothing after the next epoch, and is told; the others lose nothing
// by the change of keys, and the publisher sees who reads.
func TestEvicted(t *testing.T) {
	ds := overlayOf(t, 4)
	src := publishNumbers(t, ds[0], &overlayv1.Announce{Name: "numbers", Public: true})
	defer src.stop()
	own := readNumbers(t, ds[0], &overlayv1.SubscribeRequest{Stream: "numbers"})
	out := readNumbers(t, ds[1], &overlayv1.SubscribeRequest{Stream: "numbers"})
	stay := readNumbers(t, ds[2], &overlayv1.SubscribeRequest{Stream: "numbers"})
	for _, x := range []*reader{own, out, stay} {
		x.wait(t, "payloads", 30*time.Second, func() bool { return x.count > 50 })
	}
	id := func(d *Daemon) string { return d.Self().ID.Hex() }
	have := holders(t, ds[0], "numbers")
	if len(have) != 2 || have[id(ds[1])] == nil || have[id(ds[2])] == nil {
		t.Fatalf("holders: %v", have)
	}
	for _, h := range have {
		if since := time.Since(time.Unix(0, int64(h.SinceUnixNs))); h.Epoch == 0 || h.Seals || since < 0 || since > time.Minute {
			t.Errorf("holder %v", h)
		}
	}
	evict := func(stream, host string) error {
		_, err := client(t, ds[0]).Evict(t.Context(), connect.NewRequest(&overlayv1.EvictRequest{Stream: stream, Host: host}))
		return err
	}
	for _, c := range []struct{ stream, host, want string }{
		{"nothing", id(ds[1]), "is published on this host"},
		{"numbers", "12", "hexadecimal digits at least"},
		{"numbers", strings.Repeat("f", 9), "no host whose id begins with"},
		{"numbers", id(ds[0]), "cannot be put out"},
	} {
		if err := evict(c.stream, c.host); err == nil || !strings.Contains(err.Error(), c.want) || connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("evict %s %s: %v", c.stream, c.host, err)
		}
	}
	before := have[id(ds[2])].Epoch
	if err := evict("numbers", id(ds[1])[:12]); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "put out", 30*time.Second, func() bool { return out.states[len(out.states)-1] == "evicted" })
	epoch := func() uint32 {
		if h := holders(t, ds[0], "numbers")[id(ds[2])]; h != nil {
			return h.Epoch
		}
		return 0
	}
	for end := time.Now().Add(30 * time.Second); epoch() <= before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no new epoch")
		}
	}
	// It tries again, as a user would, and stays out; what it is sent it cannot read.
	again := readNumbers(t, ds[1], &overlayv1.SubscribeRequest{Stream: src.id})
	again.wait(t, "put out again", 30*time.Second, func() bool { return len(again.states) > 0 && again.states[len(again.states)-1] == "evicted" })
	last := func() uint64 { stay.mu.Lock(); defer stay.mu.Unlock(); return stay.last }
	from := last()
	stay.wait(t, "the other reads on", 30*time.Second, func() bool { return stay.last > from+100 })
	own.wait(t, "the publisher's host too", 30*time.Second, func() bool { return own.last > from+100 })
	for who, x := range map[string]*reader{"own": own, "stays": stay, "out": out, "again": again} {
		x.mu.Lock()
		if len(x.wrong) > 0 || x.gaps > 0 {
			t.Errorf("%s: wrong %v, %d missing", who, x.wrong, x.gaps)
		}
		if who == "again" && x.count > 0 {
			t.Errorf("put out, it has read %d payloads", x.count)
		}
		x.mu.Unlock()
	}
	if have := holders(t, ds[0], src.id); have[id(ds[1])] != nil {
		t.Error("it is still in the list")
	}
}

// The publisher's decision counts: who is not admitted gets no key, and is told why.
func TestNotAdmitted(t *testing.T) {
	ds := overlayOf(t, 3)
	admitted := ds[1].Self().ID
	p, err := ds[0].streams.Plan(wire.StreamInfo{Name: "closed", Public: true, Publisher: ds[0].Self()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.AdmitBy(func(a delivery.Asker) error {
		if a.Host != admitted {
			return errors.New("not on the list")
		}
		return nil
	})
	if err := p.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer p.Withdraw()
	for i, want := range []string{"", "admitted", "refused"} {
		if want == "" {
			continue
		}
		r, err := ds[i].streams.Subscribe(t.Context(), "closed", wire.Contract{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for state := ""; state != want; {
			_, changes, done, err := r.Next(t.Context())
			for _, c := range changes {
				if state = c.State.String(); c.State == overlay.Refused && !strings.Contains(c.Reason, "not on the list") {
					t.Errorf("refused because of %q", c.Reason)
				}
			}
			if done && state != want {
				t.Fatalf("host %d is %s, want %s: %v", i, state, want, err)
			}
		}
	}
}
