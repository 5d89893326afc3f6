// SPDX-License-Identifier: Apache-2.0

// Package footprint measures what one of many things in a process takes when it
// idles: bytes of live heap, bytes of stacks and goroutines.
//
// The heap is what is reachable after a collection. Stacks are counted as the
// runtime takes them from the heap, in pieces of 32 KiB that each hold stacks of one
// size: a goroutine that kept a piece from being given back is charged with all of
// it. Call Warm once, make a few of the things, Read, make many more, let them come
// to rest, Read again and divide.
package footprint

import (
	"math"
	"runtime"
	"sync"
	"time"
)

// State is what a process takes.
type State struct {
	Heap, Stacks float64 // bytes
	Goroutines   float64
}

// Warm makes the runtime's records of 20,000 goroutines, which it keeps for later
// ones: they would else be counted with things that have many goroutines for a moment.
func Warm() {
	var wg sync.WaitGroup
	all := make(chan struct{})
	for range 20_000 {
		wg.Go(func() {
			<-all
			grow()
		})
	}
	close(all)
	wg.Wait()
}

// grow makes the goroutine's stack larger than any that a goroutine begins with: the
// runtime keeps some of those when their goroutines end, and with each a piece of
// memory that Read would count before and not after.
//
//go:noinline
func grow() {
	var b [20_000]byte
	runtime.KeepAlive(&b)
}

// Read gives the least of a few readings, each right after a collection: what idle
// things throw away in between is no state of theirs. It takes 200 ms.
func Read() State {
	s := State{Heap: math.Inf(1), Stacks: math.Inf(1)}
	for range 8 { // the first ones empty pools, and what finalizers keep
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.Heap, s.Stacks = min(s.Heap, float64(m.HeapAlloc)), min(s.Stacks, float64(m.StackInuse))
		time.Sleep(20 * time.Millisecond)
	}
	s.Goroutines = float64(runtime.NumGoroutine())
	return s
}

// Rest is what each of the n things takes that were made since before, once they have
// come to rest: it reads after a pause, and again after others, ten times at most, until
// ok says that this is what they should take.
func Rest(before State, n int, pause time.Duration, ok func(each State) bool) (each State) {
	for range 10 {
		time.Sleep(pause)
		if each = Read().Each(before, n); ok(each) {
			break
		}
	}
	return each
}

// Each is what each of the n things takes that were made since before.
func (s State) Each(before State, n int) State {
	d := float64(n)
	return State{(s.Heap - before.Heap) / d, (s.Stacks - before.Stacks) / d, (s.Goroutines - before.Goroutines) / d}
}
