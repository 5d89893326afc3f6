// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"sandstream/internal/overlay/wire"
)

// Streams that others named cannot make a host run SPAs without bound.
func TestSPAsAreBounded(t *testing.T) {
	s := newSPAs(slog.New(slog.DiscardHandler))
	defer s.close()
	eight := slices.Repeat([]wire.Stage{{SPA: "monitor"}}, wire.MaxStages)
	var ps []*pipeline
	for range spasAtOnce/wire.MaxStages + 4 {
		ps = append(ps, s.keep(nil, eight))
	}
	if n := s.running.Load(); n != spasAtOnce {
		t.Errorf("%d SPAs run, at most %d may", n, spasAtOnce)
	}
	if err := s.check(eight); err == nil || !strings.Contains(err.Error(), "end a stream") {
		t.Errorf("another pipeline: %v", err)
	}
	for _, p := range ps {
		p.close()
	}
	if n := s.running.Load(); n != 0 {
		t.Errorf("%d SPAs run when all have ended", n)
	}
	if err := s.check(eight); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}
