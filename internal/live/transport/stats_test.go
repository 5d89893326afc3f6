// SPDX-License-Identifier: Apache-2.0

package transport

import "testing"

// What was counted for a peer stays in the sums when it is forgotten.
func TestTotalsNeverFall(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	connect(t, a, b)
	settled(t, a, b)
	settled(t, b, a)
	for range 5 {
		if err := b.SendControl(a.Self(), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they arrive", func() bool { return len(a.got()) == 5 })
	before := a.Totals()
	if before.RxControl != 5 || before.Handshakes != 1 {
		t.Fatalf("%+v", before)
	}
	a.peerMu.Lock()
	a.forget(a.peers[b.Self().ID])
	a.peerMu.Unlock()
	if after := a.Totals(); after.RxControl != 5 || after.Handshakes != 1 || after.RxBytes != before.RxBytes {
		t.Errorf("%+v, before %+v", after, before)
	}
	connect(t, a, b)
	if after := a.Totals(); after.Handshakes != 2 || after.RxControl < 5 {
		t.Errorf("%+v", after)
	}
}
