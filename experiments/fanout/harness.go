// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"sandstream/internal/report/stats"
)

// system is one of the compared. publish is called by one goroutine.
type system interface {
	publish(batch [][]byte) error
	close()
}

// deliverFunc is called by a system for each packet that a subscriber gets: one
// goroutine at a time for each subscriber.
type deliverFunc func(sub int, payload []byte)

// contender starts a system with a publisher, a hub and fan subscribers.
type contender func(fan int, deliver deliverFunc) (system, error)

// names in the order of the tables; the first is what others are compared to.
var names = []string{"sandstream", "sandstream-nogso", "gossipsub", "nats", "nats-tls"}

var contenders = map[string]contender{
	"sandstream":       func(fan int, d deliverFunc) (system, error) { return newSandstream(fan, d, true) },
	"sandstream-nogso": func(fan int, d deliverFunc) (system, error) { return newSandstream(fan, d, false) },
	"gossipsub":        newGossipsub,
	"nats":             func(fan int, d deliverFunc) (system, error) { return newNATS(fan, d, false) },
	"nats-tls":         func(fan int, d deliverFunc) (system, error) { return newNATS(fan, d, true) },
}

// reading is what one process has measured.
type reading struct {
	Delivered uint64  `json:"delivered"`
	Lost      uint64  `json:"lost"` // published and due, not delivered
	Wall      float64 `json:"wall"` // s
	CPU       float64 `json:"cpu"`  // s, user and system
	P50       float64 `json:"p50"`  // us
	P99       float64 `json:"p99"`
	// P99Stalled is that of the others while subscriber 0 stalls.
	P99Stalled float64 `json:"p99_stalled"`
	Heap       float64 `json:"heap"` // bytes of a host
	Stack      float64 `json:"stack"`
	Gor        float64 `json:"goroutines"`
}

// subscriber's counters; each on cache lines of its own.
type subscriber struct {
	delivered atomic.Uint64
	hist      *stats.LogHist
	_         [96]byte
}

type harness struct {
	o         options
	start     time.Time
	subs      []subscriber
	measuring atomic.Bool
	progress  chan struct{}
	stalled   atomic.Int32 // subscriber whose callback blocks, -1: none
	block     chan struct{}
	sys       system
	seq       uint64
}

func newHarness(o options, c contender) (*harness, error) {
	h := &harness{o: o, start: time.Now(), subs: make([]subscriber, o.Fan), progress: make(chan struct{}, 1)}
	h.stalled.Store(-1)
	var err error
	if h.sys, err = c(o.Fan, h.deliver); err != nil {
		return nil, err
	}
	if err := h.warm(); err != nil {
		h.sys.close()
		return nil, err
	}
	return h, nil
}

func (h *harness) now() uint64 { return uint64(time.Since(h.start)) }

func (h *harness) deliver(sub int, p []byte) {
	s := &h.subs[sub]
	if h.measuring.Load() {
		if sub == int(h.stalled.Load()) {
			<-h.block
			return
		}
		s.hist.Add(float64(h.now() - binary.BigEndian.Uint64(p[8:])))
	}
	if s.delivered.Add(1)%32 == 0 {
		select {
		case h.progress <- struct{}{}:
		default:
		}
	}
}

// batch makes the next n packets.
func (h *harness) batch(n int) [][]byte {
	out := make([][]byte, n)
	now := h.now()
	for i := range out {
		h.seq++
		out[i] = make([]byte, h.o.Payload)
		binary.BigEndian.PutUint64(out[i], h.seq)
		binary.BigEndian.PutUint64(out[i][8:], now)
	}
	return out
}

// warm publishes until every subscriber has got something: gossipsub's mesh
// takes a heartbeat or more.
func (h *harness) warm() error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := h.sys.publish(h.batch(1)); err != nil {
			return err
		}
		least := h.least()
		if least >= 50 {
			h.settle()
			return nil
		}
	}
	return errors.New("a subscriber got nothing for 20 s")
}

func (h *harness) least() uint64 {
	least := h.subs[0].delivered.Load()
	for i := range h.subs {
		if n := h.subs[i].delivered.Load(); n < least {
			least = n
		}
	}
	return least
}

func (h *harness) total() (n uint64) {
	for i := range h.subs {
		n += h.subs[i].delivered.Load()
	}
	return n
}

// settle waits until nothing more arrives.
func (h *harness) settle() {
	for last, still := h.total(), 0; still < 10; still++ {
		time.Sleep(10 * time.Millisecond)
		if now := h.total(); now != last {
			last, still = now, 0
		}
	}
}

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// throughput keeps the window full.
func (h *harness) throughput() (reading, error) {
	const batch = 32
	sent, due := uint64(0), h.least()
	var lost uint64
	before, began, cpu0 := h.total(), time.Now(), cpu()
	patience := time.NewTimer(time.Hour)
	defer patience.Stop()
	for time.Since(began) < h.o.For {
		for sent+batch > h.least()-due+lost+uint64(h.o.Window) {
			patience.Reset(time.Second)
			select {
			case <-h.progress:
			case <-patience.C:
				lost = sent - (h.least() - due) // what has not come by now does not come
			}
		}
		if err := h.sys.publish(h.batch(batch)); err != nil {
			return reading{}, err
		}
		sent += batch
	}
	wall, took := time.Since(began), cpu()-cpu0
	delivered := h.total() - before
	h.settle()
	return reading{
		Delivered: delivered, Lost: sent*uint64(h.o.Fan) - (h.total() - before),
		Wall: wall.Seconds(), CPU: took,
	}, nil
}

// segment publishes at the rate for a time, a millisecond's packets at a time,
// and gives the delays of all subscribers but the stalled one.
func (h *harness) segment(stalled int, length time.Duration) (reading, *stats.LogHist, error) {
	before := h.total() - h.subs[0].delivered.Load()
	before0 := h.subs[0].delivered.Load()
	for i := range h.subs {
		h.subs[i].hist = stats.NewLogHist(40, 64) // ns: up to 18 min, in steps of 1 %
	}
	h.block = make(chan struct{})
	h.stalled.Store(int32(stalled))
	h.measuring.Store(true)
	began, cpu0 := time.Now(), cpu()
	sent := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < length {
		<-tick.C
		n := int(time.Since(began).Seconds()*float64(h.o.Rate)) - sent
		if n <= 0 {
			continue
		}
		if err := h.sys.publish(h.batch(n)); err != nil {
			return reading{}, nil, err
		}
		sent += n
	}
	r := reading{Wall: time.Since(began).Seconds(), CPU: cpu() - cpu0}
	h.settle()
	h.measuring.Store(false)
	listening := h.o.Fan
	r.Delivered = h.total() - h.subs[0].delivered.Load() - before
	if stalled < 0 {
		r.Delivered += h.subs[0].delivered.Load() - before0
	} else {
		listening--
	}
	if due := uint64(sent * listening); due > r.Delivered {
		r.Lost = due - r.Delivered
	}
	all := stats.NewLogHist(40, 64)
	for i := range h.subs {
		if i != stalled {
			all.Merge(h.subs[i].hist)
		}
	}
	close(h.block)
	h.settle()
	h.stalled.Store(-1)
	return r, all, nil
}

func (h *harness) delay() (reading, error) {
	r, all, err := h.segment(-1, h.o.For)
	if err != nil {
		return r, err
	}
	r.P50, r.P99 = all.Quantile(.5)/1e3, all.Quantile(.99)/1e3
	return r, nil
}

// stall alternates segments without and with a stalled subscriber, so that what
// else the machine does meets both alike.
func (h *harness) stall() (reading, error) {
	const pairs = 5
	var hists [2]*stats.LogHist
	var sum reading
	for i := range 2 * pairs {
		mode := (i + i/2) % 2 // 0 1 1 0 0 1 1 0 ...
		r, all, err := h.segment(mode-1, h.o.For/pairs)
		if err != nil {
			return r, err
		}
		if hists[mode] == nil {
			hists[mode] = all
		} else {
			hists[mode].Merge(all)
		}
		sum.Delivered, sum.Lost, sum.Wall, sum.CPU = sum.Delivered+r.Delivered, sum.Lost+r.Lost, sum.Wall+r.Wall, sum.CPU+r.CPU
	}
	sum.P99, sum.P99Stalled = hists[0].Quantile(.99)/1e3, hists[1].Quantile(.99)/1e3
	return sum, nil
}

func measure(part, name string, o options) (reading, error) {
	if part == "idle" {
		return idle(name, o)
	}
	c, ok := contenders[name]
	if !ok {
		return reading{}, fmt.Errorf("no such system: %q", name)
	}
	h, err := newHarness(o, c)
	if err != nil {
		return reading{}, fmt.Errorf("%s: %w", name, err)
	}
	defer h.sys.close()
	switch part {
	case "throughput":
		return h.throughput()
	case "delay":
		return h.delay()
	case "stall":
		return h.stall()
	}
	return reading{}, fmt.Errorf("no such part: %q", part)
}
