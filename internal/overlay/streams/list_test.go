// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"testing"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// A zone with more names than a message holds is listed in several, each name once.
func TestNamesOfAZoneArePaged(t *testing.T) {
	n, place := newStreams(turn.DefaultConfig())
	all := wire.Zone{}
	place.covers = []wire.Zone{all}
	const names = 100
	for i := range names {
		n.keep(&wire.StreamInfo{ID: wire.StreamID{byte(i)}, Name: fmt.Sprint("s", i), Public: true, Publisher: wire.SampleHost}, wire.HostID{})
	}
	seen := map[string]bool{}
	pages := 0
	for from := wire.Point(0); ; pages++ {
		infos, next := n.namesFrom(from, all)
		if len(infos) > maxInfos {
			t.Fatalf("%d entries in a message", len(infos))
		}
		for _, i := range infos {
			if seen[i.Name] {
				t.Errorf("%s is listed twice", i.Name)
			}
			seen[i.Name] = true
		}
		if next == 0 {
			break
		}
		if next <= from {
			t.Fatalf("behind %x comes %x", from, next)
		}
		from = next
	}
	if len(seen) != names || pages < names/maxInfos {
		t.Errorf("%d of %d names, on %d pages", len(seen), names, pages)
	}
}
