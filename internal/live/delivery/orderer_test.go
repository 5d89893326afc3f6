// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
)

// arrival is a packet whose payload is its sequence number.
// arrival is a packet that was sent after all that this gave before.
func arrival(seq uint64) transport.Delivery {
	return transport.Delivery{
		Header: frame.Header{Seq: seq, ElapsedUs: 1000, Epoch: 1, SentNs: clock.Add(1)}, Payload: binary.BigEndian.AppendUint64(nil, seq), At: uint64(time.Now().UnixNano()),
	}
}

var clock atomic.Uint64

func wall() uint64 { return uint64(time.Now().UnixNano()) }

// collect makes an orderer, and a function that gives what it has delivered.
func collect() (*orderer, func() []uint64) {
	var mu sync.Mutex
	var got []uint64
	return newOrderer(wall, func(ps []Packet) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range ps {
				got = append(got, binary.BigEndian.Uint64(p.Data))
			}
		}), func() []uint64 {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(got)
		}
}

func TestOrdererOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, got := collect()
		for _, seq := range []uint64{7, 9, 8, 8, 7, 12, 10} {
			o.take([]transport.Delivery{arrival(seq)})
		}
		if want := []uint64{7, 8, 9, 10}; !slices.Equal(got(), want) {
			t.Errorf("%v, want %v", got(), want)
		}
		// 11 is waited for, and no longer than that.
		time.Sleep(holdFor - time.Millisecond)
		synctest.Wait()
		if len(got()) != 4 {
			t.Errorf("too early: %v", got())
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if want := []uint64{7, 8, 9, 10, 12}; !slices.Equal(got(), want) {
			t.Errorf("%v, want %v", got(), want)
		}
		o.take([]transport.Delivery{arrival(11)})
		r, s := o.measure(), o.sum()
		if r.Packets != 5 || r.Lost != 1 || s.Late != 3 || s.Reordered != 1 || s.Duplicates != 0 {
			t.Errorf("%+v %+v", r, s)
		}
		// 12 was held for 40 ms: that is part of its latency.
		if r.P99Us != 1000+40_000 || r.MeanUs != (5*1000+40_000)/5 {
			t.Errorf("P99 %d, mean %d", r.P99Us, r.MeanUs)
		}
		o.close()
	})
}

func TestOrdererFilteredIsNotLost(t *testing.T) {
	o, got := collect()
	empty := arrival(2)
	empty.Payload = nil
	end := arrival(4)
	end.Payload, end.Header.Flags = nil, frame.End
	o.take([]transport.Delivery{arrival(1), empty, arrival(3)})
	if o.done() {
		t.Error("done before the end")
	}
	o.take([]transport.Delivery{end})
	if s := o.sum(); !slices.Equal(got(), []uint64{1, 3}) || s.Filtered != 1 || s.Lost != 0 || !o.done() {
		t.Errorf("%v %+v", got(), s)
	}
}

// A host above that lied about the numbers does not silence the stream for ever.
func TestOrdererNumbersDrivenAhead(t *testing.T) {
	o, got := collect()
	o.take([]transport.Delivery{arrival(1), arrival(1 << 60)})
	o.flush()
	o.take([]transport.Delivery{arrival(2)})
	if want := []uint64{1, 1 << 60}; !slices.Equal(got(), want) {
		t.Errorf("%v, want %v", got(), want)
	}
	o.above()
	o.take([]transport.Delivery{arrival(3), arrival(4)})
	if want := []uint64{1, 1 << 60, 3, 4}; !slices.Equal(got(), want) {
		t.Errorf("%v, want %v", got(), want)
	}
	// What a new host repeats of the last packets is no reason to start over.
	o.above()
	o.take([]transport.Delivery{arrival(3), arrival(5)})
	if want := []uint64{1, 1 << 60, 3, 4, 5}; !slices.Equal(got(), want) {
		t.Errorf("%v, want %v", got(), want)
	}
	if s := o.sum(); s.Lost > lostAtMost || s.Late != 2 {
		t.Errorf("%+v", s)
	}
	o.close()
}

func TestOrdererFlush(t *testing.T) {
	o, got := collect()
	o.take([]transport.Delivery{arrival(1), arrival(3), arrival(6)})
	o.flush()
	if s := o.sum(); !slices.Equal(got(), []uint64{1, 3, 6}) || s.Lost != 3 {
		t.Errorf("%v %+v", got(), s)
	}
	o.close()
}

// Whatever comes in whatever order: what leaves has rising numbers, was sent,
// and every number from the first on is delivered, filtered, lost or dropped late.
func TestOrdererProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, got := collect()
		var seqs []uint64
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			seqs = append(seqs, rapid.Uint64Range(1, 100).Draw(t, "seq"))
			if rapid.IntRange(0, 20).Draw(t, "flush") == 0 {
				o.flush()
			}
			o.take([]transport.Delivery{arrival(seqs[len(seqs)-1])})
		}
		o.flush()
		o.close()
		for i := 1; i < len(got()); i++ {
			if got()[i] <= got()[i-1] {
				t.Fatalf("%d after %d", got()[i], got()[i-1])
			}
		}
		for _, g := range got() {
			if !slices.Contains(seqs, g) {
				t.Fatalf("%d was never sent", g)
			}
		}
		s := o.sum()
		span := got()[len(got())-1] - seqs[0] + 1
		if s.Packets+s.Lost != span || s.Packets+s.Late+s.Duplicates != uint64(len(seqs)) {
			t.Fatalf("span %d of %d packets: %+v", span, len(seqs), s)
		}
	})
}

// Further down than a host that drove the numbers ahead, nobody says that the host
// above is another one: as many old numbers in a row do.
func TestOrdererNumbersDrivenAheadFurtherUp(t *testing.T) {
	o, got := collect()
	defer o.close()
	o.take([]transport.Delivery{arrival(1), arrival(1 << 62)})
	o.flush()
	for i := range uint64(backInRow - 1) {
		o.take([]transport.Delivery{arrival(2 + i)})
	}
	if n := len(got()); n != 2 {
		t.Fatalf("%d payloads: old ones are no reason to start over so soon", n)
	}
	o.take([]transport.Delivery{arrival(1<<62 + 1)}) // ends the row
	for i := range uint64(backInRow + 9) {
		o.take([]transport.Delivery{arrival(100 + i)})
	}
	want := []uint64{1, 1 << 62, 1<<62 + 1}
	for i := range uint64(10) {
		want = append(want, 100+backInRow-1+i)
	}
	if !slices.Equal(got(), want) {
		t.Errorf("%v, want %v", got(), want)
	}
}

// What a host on the way has kept and sends again is not delivered again, however much of
// it, and whoever the host above is: it is from before.
func TestOrdererRepeatsNothing(t *testing.T) {
	o, got := collect()
	defer o.close()
	var kept []transport.Delivery
	for i := range uint64(100) {
		kept = append(kept, arrival(1+i))
	}
	o.take(kept)
	o.take([]transport.Delivery{arrival(1 << 20)})
	o.flush()
	o.above()
	for range 3 {
		o.take(kept)
	}
	if n := len(got()); n != 101 {
		t.Errorf("%d payloads, want 101", n)
	}
	// A publisher that began anew under the same id has a later epoch.
	anew := arrival(1)
	anew.Header.Epoch, anew.Header.SentNs = 2, 1
	o.take([]transport.Delivery{anew})
	if n := len(got()); n != 102 {
		t.Errorf("%d payloads, want 102: the later epoch is not believed", n)
	}
}

// That a packet was thinned out is the word of the host above alone: it leads no number
// astray.
func TestOrdererThinnedLeadsNowhere(t *testing.T) {
	o, got := collect()
	defer o.close()
	thinned := func(seq uint64) transport.Delivery {
		d := arrival(seq)
		d.Payload, d.Header.Thinned, d.Header.Epoch, d.Header.SentNs = nil, true, 1<<31, 1<<63
		return d
	}
	o.take([]transport.Delivery{thinned(1 << 40), arrival(1), thinned(2), thinned(1 << 40), arrival(3)})
	if s := o.sum(); !slices.Equal(got(), []uint64{1, 3}) || s.Filtered != 1 || s.Lost != 0 {
		t.Errorf("%v %+v", got(), s)
	}
	if o.newest.epoch != 1 {
		t.Error("a thinned packet's epoch is believed")
	}
}

// A message of several packets is delivered whole, or counts as lost.
func TestOrdererJoinsMessages(t *testing.T) {
	var got []string
	o := newOrderer(wall, func(ps []Packet) {
		for _, p := range ps {
			got = append(got, string(p.Data))
		}
	})
	defer o.close()
	part := func(seq uint64, part, last uint8, text string) transport.Delivery {
		d := arrival(seq)
		d.Header.Part, d.Header.LastPart, d.Payload = part, last, []byte(text)
		return d
	}
	o.take([]transport.Delivery{
		part(10, 1, 2, "of one that began before "), part(11, 2, 2, "us"),
		part(12, 0, 0, "alone"), part(14, 1, 2, "b"), part(13, 0, 2, "a"), part(15, 2, 2, "c"),
		part(16, 0, 1, "cut"), part(18, 0, 1, "d"), part(19, 1, 1, "e"),
		part(20, 0, 1, "emptied"), part(21, 1, 1, ""),
		part(22, 0, 1, "no end"), part(23, 0, 0, "last"),
	})
	o.flush()
	if s := o.sum(); !slices.Equal(got, []string{"alone", "abc", "de", "last"}) || s.Packets != 7 || s.Lost != 5 || s.Filtered != 2 {
		t.Errorf("%q %+v", got, s)
	}
}

// Of a message whose packets are of use alone, what is left is delivered; that they are is
// the publisher's word.
func TestOrdererDeliversWhatIsLeft(t *testing.T) {
	var got []string
	o := newOrderer(wall, func(ps []Packet) {
		for _, p := range ps {
			got = append(got, string(p.Data))
		}
	})
	defer o.close()
	part := func(seq uint64, part, last uint8, text string) transport.Delivery {
		d := arrival(seq)
		d.Header.Part, d.Header.LastPart, d.Payload, d.Header.Flags = part, last, []byte(text), frame.Alone
		if text == "" {
			d.Header.Thinned = true
		}
		return d
	}
	o.take([]transport.Delivery{
		part(1, 0, 2, "a"), part(2, 1, 2, ""), part(3, 2, 2, "c"),
		part(4, 0, 1, ""), part(5, 1, 1, "e"), part(6, 0, 1, ""), part(7, 1, 1, ""), part(8, 0, 1, "f"), part(9, 1, 1, "g"),
	})
	if s := o.sum(); !slices.Equal(got, []string{"ac", "e", "fg"}) || s.Packets != 5 || s.Filtered != 4 || s.Lost != 0 {
		t.Errorf("%q %+v", got, s)
	}
}
