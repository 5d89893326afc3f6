// SPDX-License-Identifier: Apache-2.0

package simnet

import "testing"

// BenchmarkLife grows an overlay of 1,000 hosts and lets it be for a while: what the
// protocol's code costs, without a stream.
func BenchmarkLife(b *testing.B) {
	for b.Loop() {
		w := grown(b, config(7), 1000)
		b.ReportMetric(float64(w.Events), "events/op")
	}
}
