// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"math"
	"sync"
	"time"

	"sandstream/internal/live/delivery"
)

const (
	reportEvery = 500 * time.Millisecond
	inboxSize   = 512 // control messages that wait for the loop
)

// loop calls functions one at a time, and turn after those that came together and
// whenever turn asked to be called again. There is a goroutine only while there is
// something to do, and no room for what waits while nothing does: both would be a
// good part of an idle host's memory.
type loop struct {
	turn  func() (next time.Duration)
	last  func()        // called once, when the loop is stopped
	ended chan struct{} // closed after last

	mu      sync.Mutex
	waiting []func()
	due     bool // there is something to do
	running bool // and a goroutine that does it
	stopped bool
	timer   *time.Timer // to the next turn, while none runs
}

func newLoop(turn func() time.Duration, last func()) *loop {
	l := &loop{turn: turn, last: last, ended: make(chan struct{})}
	l.timer = time.AfterFunc(math.MaxInt64, func() { l.change(func() {}) })
	return l
}

// change changes what there is to do, and sees to it that it is done.
func (l *loop) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.due = true
	if !l.running {
		l.running = true
		go l.run()
	}
}

// post adds f, however much waits.
func (l *loop) post(f func()) { l.change(func() { l.waiting = append(l.waiting, f) }) }

// offer adds f unless inboxSize functions wait.
func (l *loop) offer(f func()) (ok bool) {
	l.change(func() {
		if ok = len(l.waiting) < inboxSize; ok {
			l.waiting = append(l.waiting, f)
		}
	})
	return ok
}

// stop ends the loop after what runs; what waits is dropped.
func (l *loop) stop() { l.change(func() { l.stopped = true }) }

// run does what there is to do.
func (l *loop) run() {
	var next time.Duration
	for {
		l.mu.Lock()
		switch {
		case l.stopped:
			l.timer.Stop()
			l.mu.Unlock()
			l.last()
			close(l.ended)
			return // running for good: nothing starts any more
		case !l.due:
			l.running = false
			l.timer.Reset(next)
			l.mu.Unlock()
			return
		}
		fs := l.waiting
		l.waiting, l.due = nil, false
		l.mu.Unlock()
		for _, f := range fs {
			f()
		}
		next = l.turn()
	}
}

// do runs f in the loop, and what the core wants done after it, and waits for both.
func (d *Daemon) do(ctx context.Context, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	d.loop.post(func() {
		f()
		d.carryOut()
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-d.loop.ended:
		return delivery.ErrStopping
	}
}

// turn does what follows from the inputs that the core has had, and what is due.
func (d *Daemon) turn() time.Duration {
	now := d.now()
	if now >= d.reportAt {
		d.reportAt = now + reportEvery
		d.streams.Measure()
		now = d.now()
	}
	if d.node.Deadline() <= now {
		d.node.Tick(now)
	}
	d.carryOut()
	next := min(d.node.Deadline(), d.reportAt) - d.now()
	return max(0, min(next, d.streams.Tick()))
}
