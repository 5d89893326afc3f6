// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"testing"

	"sandstream/internal/overlay/wire"
)

// A host that is handed whatever Decode takes lives on, and says nothing that others
// would not take.
func FuzzHandle(f *testing.F) {
	for _, m := range wire.Samples() {
		f.Add(wire.Encode(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.Decode(b)
		if err != nil {
			return
		}
		n := New(DefaultConfig(), wire.Peer{ID: wire.HostID{77}, Addr: wire.SampleHost.Addr}, 1)
		n.Create(0)
		_ = n.Announce(0, wire.StreamInfo{ID: wire.StreamID{5}})
		for i := range wire.Time(3) {
			n.Handle(i, wire.SampleHost, m)
			n.Tick(i * 1e9)
			n.Effects(func(e Effect) {
				if s, ok := e.(Send); ok {
					if _, err := wire.Decode(wire.Encode(nil, s.Msg)); err != nil {
						t.Fatalf("%s makes us send what nobody takes: %v", wire.KindOf(m), err)
					}
				}
			})
		}
	})
}
