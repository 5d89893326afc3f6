// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"math"
	"runtime"
	"sync"
	"testing"
)

// Things of known size are measured as what they are.
func TestEach(t *testing.T) {
	const n, size = 400, 100_000
	Warm()
	before := Read()
	end := make(chan struct{})
	kept := make([][]byte, n)
	var begun sync.WaitGroup
	begun.Add(n)
	for i := range kept {
		kept[i] = make([]byte, size)
		go func() {
			begun.Done()
			<-end
		}()
	}
	begun.Wait()
	e := Read().Each(before, n)
	runtime.KeepAlive(kept)
	close(end)
	if e.Goroutines != 1 || math.Abs(e.Heap-106_496) > 2000 || e.Stacks < 2000 || e.Stacks > 4608 {
		t.Errorf("%+v: want 1 goroutine, 106,496 bytes of heap (the allocator's size for 100,000) and 2,048 of stacks, or 4,096 with the race detector", e)
	}
}
