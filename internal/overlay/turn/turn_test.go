// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay/wire"
)

// All chance comes from the seed: two hosts of one seed do the same, of two seeds not.
func TestChanceComesFromTheSeed(t *testing.T) {
	draw := func(seed uint64) (v [6]uint64) {
		u := New(DefaultConfig(), self, seed)
		u.Ask(&Request{Msg: &wire.SubReq{}, Tries: 1, Wait: time.Second})
		for id := range u.pending {
			v[0] = id
		}
		v[1], v[2], v[3] = u.Serial(), u.Uint64(), uint64(u.Intn(1_000_000))
		v[4], v[5] = uint64(u.Jitter(time.Hour)), uint64(u.Point())
		return v
	}
	if a, b := draw(1), draw(1); a != b {
		t.Errorf("one seed: %x and %x", a, b)
	}
	a, b := draw(1), draw(2)
	for i := range a {
		if a[i] == b[i] {
			t.Errorf("draw %d of two seeds: %x", i, a[i])
		}
	}
}

func TestDraws(t *testing.T) {
	u := newTurn()
	last := uint64(0)
	var low, high bool
	for range 1000 {
		if s := u.Serial(); s <= last {
			t.Fatalf("serial number %d after %d", s, last)
		} else {
			last = s
		}
		if i := u.Intn(3); i < 0 || i > 2 {
			t.Fatalf("%d of 3", i)
		}
		d := u.Jitter(time.Second)
		if d < 900*time.Millisecond || d > 1100*time.Millisecond {
			t.Fatalf("%v is a second, give or take a tenth", d)
		}
		low, high = low || d < 920*time.Millisecond, high || d > 1080*time.Millisecond
		for i := range 32 {
			if p := u.Point(); p.Digit(i) >= u.Cfg.Radix {
				t.Fatalf("digit %d in an id of radix %d", p.Digit(i), u.Radix())
			}
		}
	}
	if !low || !high {
		t.Error("hosts that started together stay together")
	}
}

// The driver takes effects in the order in which they were wanted, and once.
func TestEffects(t *testing.T) {
	u := newTurn()
	take := func() (v []Effect) {
		u.Effects(func(e Effect) { v = append(v, e) })
		return v
	}
	other := wire.Peer{ID: wire.HostID{2}}
	u.Send(other, &wire.Pull{})
	u.Send(self, &wire.Pull{}) // nothing is sent to oneself
	u.Event("peer-dead", other, "silent")
	u.Emit(Event{Kind: "own"})
	want := []Effect{
		Send{To: other, Msg: &wire.Pull{}}, Event{Kind: "peer-dead", Host: other, Detail: "silent"}, Event{Kind: "own"},
	}
	if got := take(); !reflect.DeepEqual(got, want) {
		t.Errorf("effects %+v, want %+v", got, want)
	}
	if got := take(); got != nil {
		t.Errorf("effects come twice: %+v", got)
	}
	for _, e := range want {
		e.Effect() // that is all that makes it one
	}
}

func TestCounters(t *testing.T) {
	u := newTurn()
	u.Send(wire.Peer{ID: wire.HostID{2}}, &wire.Pull{})
	u.Send(self, &wire.Pull{})
	u.Received(&wire.Query{})
	u.Received(&wire.Query{})
	u.Count("noticed")
	u.Event("noticed", self, "")
	sent, recv := u.Messages()
	if !reflect.DeepEqual(sent, map[string]uint64{"pull": 1}) || !reflect.DeepEqual(recv, map[string]uint64{"query": 2}) {
		t.Errorf("sent %v, received %v", sent, recv)
	}
	got := u.Counts()
	if got["noticed"] != 2 {
		t.Errorf("counted %v", got)
	}
	got["noticed"] = 9
	if u.Counts()["noticed"] != 2 {
		t.Error("counters are changed from outside")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"default":         {func(*Config) {}, ""},
		"radix 2":         {func(c *Config) { c.Radix = 2 }, ""},
		"radix 4":         {func(c *Config) { c.Radix = 4 }, "radix 4"},
		"rare beats":      {func(c *Config) { c.BeatInterval = time.Second }, "beat timeout"},
		"beats just fit":  {func(c *Config) { c.BeatTimeout = 2 * c.BeatInterval }, ""},
		"a time below 0":  {func(c *Config) { c.LeaseTime = -1 }, "every time"},
		"no time to wait": {func(c *Config) { c.ProbeInterval = 0 }, "every time"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		err := cfg.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// Every time must be above 0, which one ever was forgotten.
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		if typ.Field(i).Type != reflect.TypeFor[Time]() {
			continue
		}
		cfg := DefaultConfig()
		reflect.ValueOf(&cfg).Elem().Field(i).SetInt(0)
		if cfg.Check() == nil {
			t.Errorf("%s may be 0", typ.Field(i).Name)
		}
	}
}

// The heir of three hosts finds one dead after eight of its turns at the latest.
func TestTakeoverBound(t *testing.T) {
	cfg := DefaultConfig()
	if got, want := cfg.TakeoverBound(3), 4*time.Second+1425*time.Millisecond; got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
