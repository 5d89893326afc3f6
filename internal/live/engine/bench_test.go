// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import (
	"encoding/binary"
	"syscall"
	"testing"
	"time"
)

// A stream of 7 MPEG-TS packets a datagram, batches of 64. cpu-ns/op is processor
// time, which a loaded machine changes less than the time that passes.
func BenchmarkBatch(b *testing.B) {
	for _, name := range Shipped() {
		b.Run(name, func(b *testing.B) { benchmark(b, name, maxBatch) })
	}
	b.Run("forward-alone", func(b *testing.B) { benchmark(b, "forward", 1) })
}

func benchmark(b *testing.B, name string, batch int) {
	p := NewPortable(b.Context())
	in := load(b, p, name, nil, Limits{})
	_ = in.AddOutput(1) // refused by those without a table
	payload := make([]byte, 7*188)
	for i := range payload {
		payload[i] = byte(i * i)
	}
	for i := 0; i < len(payload); i += 188 {
		payload[i] = 0x47
	}
	pkts := make([][]byte, batch)
	seq := uint64(0)
	for i := range pkts {
		pkts[i] = datagram(0, 0, payload)
	}
	n := 0
	emit := func(int, []byte) { n++ }
	b.SetBytes(int64(len(pkts[0])))
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime(b)
	for i := 0; i < b.N; i += batch {
		for _, d := range pkts {
			seq++
			binary.BigEndian.PutUint64(d[24:], seq)
		}
		if err := in.Batch(pkts, emit); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
	if n < b.N/2 {
		b.Errorf("%d of %d sent: %v", n, b.N, in.Counters())
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
