// SPDX-License-Identifier: Apache-2.0

package simnet

import "testing"

// Two hosts that own one id and do not think one another dead settle it, even if one has
// all its neighbours behind it and the other, with the greater hash, only some or none.
func TestRivalsSettle(t *testing.T) {
	for _, c := range []struct {
		name string
		seed uint64
		s    Schedule
	}{
		{"a host whose neighbours are all gone", 0, Schedule{
			{OpJoin, 0, 0}, {OpJoin, 0, 0}, {OpJoin, 0, 0}, {OpWait, 0, 6}, {OpJoin, 0, 0}, {OpCrash, 1, 0},
		}},
		{"two halves of which nobody remembers the other", 4, Schedule{
			{OpJoin, 0, 0},
			{OpJoin, 0, 0},
			{OpLoss, 0, 15},
			{OpWait, 0, 59},
			{OpCut, 1, 0},
			{OpJoin, 40, 0},
			{OpJoin, 0, 20},
			{OpWait, 32, 60},
			{OpJoin, 4, 0},
			{OpLoss, 34, 31},
			{OpSubscribe, 39, 2},
			{OpJoin, 1, 4},
			{OpJoin, 25, 0},
			{OpJoin, 1, 1},
			{OpRestart, 3, 43},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(c.seed)
			cfg.Links = plane{6}
			cfg.Jitter = 2
			cfg.Overlay.Radix = 2
			if _, bad := Play(cfg, c.s, nil); len(bad) > 0 {
				t.Errorf("%v", bad)
			}
		})
	}
}
