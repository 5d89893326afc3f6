// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"log/slog"
	"testing"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay/wire"
)

// The way of packets from the transport to a local reader, in batches as they come.
func BenchmarkReader(b *testing.B) {
	for _, c := range []struct {
		name  string
		order func(base, i uint64) uint64
	}{
		{"in-order", func(base, i uint64) uint64 { return base + i }},
		{"reordered", func(base, i uint64) uint64 { return base + i ^ 1 }},
	} {
		b.Run(c.name, func(b *testing.B) {
			const batch = 32
			r := &Reader{wake: make(chan struct{}, 1)}
			o := newOrderer(wall, r.deliver)
			defer o.close()
			payload := make([]byte, 1316)
			ds := make([]transport.Delivery, batch)
			base := uint64(2)
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)) * batch)
			for b.Loop() {
				for i := range ds {
					ds[i] = transport.Delivery{Header: frame.Header{Seq: c.order(base, uint64(i)), ElapsedUs: 1000}, Payload: payload, At: 1}
				}
				base += batch
				o.take(ds)
				if ps, _, _, _ := r.Next(b.Context()); len(ps) == 0 {
					b.Fatal("nothing was delivered")
				}
			}
		})
	}
}

// The way of packets through the SPAs of a stream.
func BenchmarkPipeline(b *testing.B) {
	s := newSPAs(slog.New(slog.DiscardHandler))
	defer s.close()
	p := s.keep(nil, []wire.Stage{{SPA: "monitor"}})
	defer p.close()
	process := p.process()
	h := frame.Header{Seq: 1}
	var in [][]byte
	for range 32 {
		f := make([]byte, frame.HeaderSize+1316)
		h.Encode(f)
		in = append(in, f)
	}
	out := 0
	emit := func([]byte) { out++ }
	b.ReportAllocs()
	for b.Loop() {
		process(in, emit)
	}
	if out == 0 {
		b.Fatal("nothing left")
	}
}
