// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"

	"sandstream/internal/overlay"
)

const (
	queueAtMost   = 8192 // packets that wait for a local reader
	changesAtMost = 64   // of a contract
)

// Change is where a subscription stands, and what was delivered to its reader.
type Change struct {
	overlay.SubStatus
	Delivered Counts
}

// Reader is a local user's end of a subscription. Its methods may be called from
// anywhere; Next by one goroutine at a time.
type Reader struct {
	s    *Streams
	id   overlay.SubID
	wake chan struct{}

	mu       sync.Mutex
	queue    []Packet
	changes  []*Change
	overrun  uint64
	finished bool
	err      error
}

// Close ends the subscription.
func (r *Reader) Close() { r.s.unsubscribe(r.id) }

// deliver is the orderer's output. Who does not read loses the oldest.
func (r *Reader) deliver(ps []Packet) {
	r.mu.Lock()
	r.queue = append(r.queue, ps...)
	if over := len(r.queue) - queueAtMost; over > 0 {
		r.overrun += uint64(over)
		r.queue = append(r.queue[:0:0], r.queue[over:]...)
	}
	r.mu.Unlock()
	r.poke()
}

// change keeps the latest changes for the reader.
func (r *Reader) change(c *Change) {
	r.mu.Lock()
	if n := len(r.changes); n > 0 && (r.changes[n-1].State == c.State || n >= changesAtMost) {
		r.changes[n-1] = c
	} else {
		r.changes = append(r.changes, c)
	}
	r.mu.Unlock()
	r.poke()
}

// finish says that nothing more comes; err is nil if the last change says why.
func (r *Reader) finish(err error) {
	r.mu.Lock()
	if !r.finished {
		r.finished, r.err = true, err
	}
	r.mu.Unlock()
	r.poke()
}

func (r *Reader) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Next waits for something to tell the reader. done is true with the last of it.
func (r *Reader) Next(ctx context.Context) (ps []Packet, changes []*Change, done bool, err error) {
	for {
		r.mu.Lock()
		ps, changes, done, err = r.queue, r.changes, r.finished, r.err
		r.queue, r.changes = nil, nil
		r.mu.Unlock()
		if len(ps) > 0 || len(changes) > 0 || done {
			return ps, changes, done, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, nil, true, ctx.Err()
		}
	}
}

func (r *Reader) overruns() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overrun
}
