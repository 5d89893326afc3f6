// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"errors"
	"fmt"
	"time"
)

// Config sets a host's times and limits. All hosts of an overlay have the same
// Radix; the rest may differ.
type Config struct {
	Radix int // of the cube: 2 or 3

	ProbeInterval   Time // one Ping each
	AckTimeout      Time // at most; less on links known to be faster
	IndirectTimeout Time // for probes through others
	ClaimStep       Time // each heir waits this much longer than the one before it
	Maintain        Time // tables are looked over
	GraveInterval   Time // a host thought dead is asked again
	RetryInterval   Time // first retransmission
	HandoverTimeout Time // the giver of a Commit takes its zones back
	RegionInterval  Time // the owner of id 0 estimates the number of hosts

	BeatInterval  Time // streams: sign of life down the tree
	BeatTimeout   Time // a parent silent for so long is given up
	LeaseTime     Time // a child that does not renew for so long is dropped
	RepairTimeout Time // an ancestor asked for a new path answers within

	HystPercent int // a link's cost is published again when it changed by more,
	HystSamples int // so many samples in a row

	DefaultCostUs uint32  // of a link not measured yet
	CapacityBps   uint64  // what the host may send; 0: no bound
	DegradedShare float64 // of a stream's rate, taken to be left behind a degrading SPA until it is measured
	MaxLookupHops uint8
	MaxSwaps      int // for one subscription
	MaxSubs       int // local subscriptions
	MaxForwarded  int // streams that pass this host
}

// DefaultConfig is for hosts on a wide-area network.
func DefaultConfig() Config {
	return Config{
		Radix:           3,
		ProbeInterval:   500 * time.Millisecond,
		AckTimeout:      400 * time.Millisecond,
		IndirectTimeout: 500 * time.Millisecond,
		ClaimStep:       time.Second,
		Maintain:        2 * time.Second,
		GraveInterval:   2 * time.Second,
		RetryInterval:   250 * time.Millisecond,
		HandoverTimeout: 4 * time.Second,
		RegionInterval:  20 * time.Second,
		BeatInterval:    200 * time.Millisecond,
		BeatTimeout:     700 * time.Millisecond,
		LeaseTime:       6 * time.Second,
		RepairTimeout:   400 * time.Millisecond,
		HystPercent:     15,
		HystSamples:     3,
		DefaultCostUs:   50_000,
		DegradedShare:   0.5,
		MaxLookupHops:   64,
		MaxSwaps:        3,
		MaxSubs:         1024,
		MaxForwarded:    4096,
	}
}

// Check says what is wrong with c.
func (c *Config) Check() error {
	if c.Radix != 2 && c.Radix != 3 {
		return fmt.Errorf("radix %d: the live overlay knows 2 and 3", c.Radix)
	}
	for _, t := range []Time{
		c.ProbeInterval, c.AckTimeout, c.IndirectTimeout, c.ClaimStep, c.Maintain, c.GraveInterval, c.RetryInterval,
		c.HandoverTimeout, c.RegionInterval, c.BeatInterval, c.BeatTimeout, c.LeaseTime, c.RepairTimeout,
	} {
		if t <= 0 {
			return errors.New("every time of the configuration must be above 0")
		}
	}
	if c.BeatTimeout < 2*c.BeatInterval {
		return fmt.Errorf("beat timeout %v: at least two beat intervals (%v)", c.BeatTimeout, c.BeatInterval)
	}
	return nil
}

// TakeoverBound is the longest time that an id is without owner after its owner
// crashed, while the first heir lives and messages arrive: the heir's round of
// probes over its wards (2 turns each for at most wards), two time-outs, and
// the announcement.
func (c *Config) TakeoverBound(wards int) Time {
	return Time(2*(wards+1))*c.ProbeInterval + c.ProbeInterval/4 + c.AckTimeout + c.IndirectTimeout + c.AckTimeout
}
