// SPDX-License-Identifier: Apache-2.0

package points

import (
	"encoding/binary"
	"fmt"
	"math"
)

// HogUnit is the number of instructions of one unit of a background process's
// progress (contenders/hog.h).
const HogUnit = 512

// A Line is one line of labpoint's output; Kind says which fields it has.
type Line struct {
	Kind string `json:"kind"` // cost, run, step, search

	NMIEntry uint32 `json:"nmi_entry"`
	TSCkHz   uint32 `json:"tsc_khz"`

	LossFree    float64 `json:"loss_free"`
	HalfPercent float64 `json:"half_percent"`

	Rate     float64 `json:"rate"` // nominal, frames per second
	Burst    uint32  `json:"burst"`
	Count    uint32  `json:"count"`
	Len      int     `json:"len"`
	Offered  uint32  `json:"offered"`
	Missed   uint32  `json:"missed"`
	Returned uint32  `json:"returned"`
	Strange  uint32  `json:"strange"`
	First    uint64  `json:"first"` // ticks
	Last     uint64  `json:"last"`
	LateMax  uint32  `json:"late_max"`
	BurstMax uint32  `json:"burst_max"`
	Shots    uint32  `json:"shots"`

	// The window from the end of the warm-up to the last frame offered.
	WinTicks      uint64 `json:"win_ticks"`
	WinSpent      uint64 `json:"win_spent"`
	WinOffered    uint32 `json:"win_offered"`
	WinMissed     uint32 `json:"win_missed"`
	WinReturned   uint32 `json:"win_returned"`
	WinHogUnits   uint64 `json:"win_hog_units"`
	WinSqueezed   uint64 `json:"win_squeezed"`
	WinKsoftirqd  uint64 `json:"win_ksoftirqd_ns"`
	WinSwitches   uint64 `json:"win_switches"`
	WinBacklogged uint64 `json:"win_backlog_drops"`
}

// Loss is the share of all frames that did not come back.
func (l *Line) Loss() float64 { return 1 - float64(l.Returned)/float64(l.Offered) }

// Forwarded is the rate at which frames came back within the window, per second
// of guest virtual time.
func (l *Line) Forwarded() float64 { return float64(l.WinReturned) / float64(l.WinTicks) * 1e9 }

// Mbit is Forwarded as a bandwidth on the wire, FCS included.
func (l *Line) Mbit() float64 { return l.Forwarded() * float64(l.Len+4) * 8 / 1e6 }

// PerMillion is the number of frames that came back per million instructions not
// spent in the generator.
func (l *Line) PerMillion() float64 {
	return float64(l.WinReturned) / float64(l.WinTicks-l.WinSpent) * 1e6
}

// Background is the share of all instructions that the background processes had.
func (l *Line) Background() float64 {
	return float64(l.WinHogUnits) * HogUnit / float64(l.WinTicks)
}

// Valid says why the run does not count; nil if it does. Offered must be nominal:
// the rate within 0.2 %, no shot so late that it ran into the next.
func (l *Line) Valid() error {
	shots := float64(l.Count)/float64(l.Burst) - 1
	if shots < 1 {
		return fmt.Errorf("%g per second: too few shots to tell a rate", l.Rate)
	}
	// The last shot may be up to an eighth of a period late: it is random.
	rate := shots * float64(l.Burst) / (float64(l.Last-l.First) / 1e9)
	if slack := 0.002 + 0.125/shots; math.Abs(rate/l.Rate-1) > slack {
		return fmt.Errorf("offered %.6g frames per second, nominal %.6g", rate, l.Rate)
	}
	if l.BurstMax > 2*l.Burst {
		return fmt.Errorf("%g per second: %d frames at once where %d were due", l.Rate, l.BurstMax, l.Burst)
	}
	if l.Strange > 0 {
		return fmt.Errorf("%g per second: %d frames came back that were not sent, or twice", l.Rate, l.Strange)
	}
	return nil
}

// A Stamp is one frame's times in ticks; Returned is 0 for a frame that did not
// come back, Sent too for one that the receive ring had no room for.
type Stamp struct{ Sent, Returned uint64 }

// Stamps decodes a file of stamps.
func Stamps(data []byte) ([]Stamp, error) {
	if len(data)%16 != 0 {
		return nil, fmt.Errorf("stamps: %d bytes are not pairs of 64-bit numbers", len(data))
	}
	list := make([]Stamp, len(data)/16)
	for i := range list {
		list[i] = Stamp{binary.LittleEndian.Uint64(data[16*i:]), binary.LittleEndian.Uint64(data[16*i+8:])}
	}
	return list, nil
}
