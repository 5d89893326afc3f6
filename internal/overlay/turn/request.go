// SPDX-License-Identifier: Apache-2.0

package turn

import "sandstream/internal/overlay/wire"

const maxPending = 64

// Request is a message that is sent again until it is answered or given up, and
// carries what follows in either case. Answers carry its number.
type Request struct {
	ID    uint64    // set by Ask
	To    wire.Peer // zero: a lookup that is routed from here
	Msg   wire.Request
	Tries int  // sendings left, this one included
	Wait  Time // until the next; doubled each time

	Then   func(from wire.Peer, answer wire.Message) // may be nil
	Failed func()                                    // no sending was answered; may be nil

	// Yields says that it leaves room for others: many subscriptions at once must
	// not crowd out what holds the overlay together.
	Yields bool
	// Tag is a mark of the machine that asks, by which it knows its request again.
	Tag any
}

// Ask sends a request and remembers it. It reports whether there was room.
func (t *Turn) Ask(r *Request) bool {
	limit := maxPending
	if r.Yields {
		limit /= 2
	}
	if len(t.pending) >= limit {
		t.Count("request-refused")
		return false
	}
	r.ID = t.rng.Uint64() | 1 // not to be guessed: answers are told by it
	r.Msg.Stamp(r.ID, t.Radix())
	t.pending[r.ID] = r
	t.try(r)
	return true
}

func (t *Turn) try(r *Request) {
	r.Tries--
	t.After(r.Wait, Timer{Of: Requests, Key: r.ID})
	r.Wait *= 2
	if m, ok := r.Msg.(*wire.Lookup); ok && r.To.ID.IsZero() && !r.To.Addr.IsValid() {
		again := *m // the host that routes it counts its hops
		t.Route(&again)
		return
	}
	t.Send(r.To, r.Msg)
}

// Request is the one under way with a number, nil if there is none.
func (t *Turn) Request(id uint64) *Request { return t.pending[id] }

// Forget ends a request without anything following; it need not be there.
func (t *Turn) Forget(id uint64) { delete(t.pending, id) }

// Pending visits the requests under way, in no order, until f returns false.
func (t *Turn) Pending(f func(*Request) bool) {
	for _, r := range t.pending {
		if !f(r) {
			return
		}
	}
}

// Answered ends a request of the kind M and gives it, nil if there is none with this
// number and of this kind.
func Answered[M wire.Request](t *Turn, id uint64) *Request {
	r := t.pending[id]
	if r == nil {
		return nil
	}
	if _, ok := r.Msg.(M); !ok {
		return nil
	}
	delete(t.pending, id)
	return r
}

// Asking says whether a request of the kind M is under way that f holds for.
func Asking[M wire.Request](t *Turn, f func(r *Request, m M) bool) bool {
	for _, r := range t.pending {
		if m, ok := r.Msg.(M); ok && f(r, m) {
			return true
		}
	}
	return false
}

// Retry sends a request again whose timer is due, or gives it up.
func (t *Turn) Retry(id uint64) {
	r := t.pending[id]
	if r == nil {
		return
	}
	if r.Tries > 0 {
		t.try(r)
		return
	}
	delete(t.pending, id)
	if r.Failed != nil {
		r.Failed()
	}
}
