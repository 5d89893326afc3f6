// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Link is the way from one host to another, in one direction. The zero Link carries
// everything at once.
type Link struct {
	Delay time.Duration
	// Jitter is the largest deviation from Delay, to both sides, uniformly
	// distributed; the sum is never below 0.
	Jitter time.Duration
	// Reorder lets a packet overtake another for which Jitter was larger. Without it
	// packets arrive in the order in which they were sent.
	Reorder bool
	// Loss and Duplicate are probabilities, for each packet on its own.
	Loss, Duplicate float64
	// MTU, if not 0, is the length in bytes of the longest IPv4 packet that passes; longer
	// ones are lost, and nobody is told, as where a firewall drops ICMP.
	MTU int
	// Rate is in bit/s of IPv4 packets; 0 is unlimited.
	Rate float64
	// Queue is how long a packet may wait for the link to be free; one that would have
	// to wait longer is dropped. 0 is DefaultQueue. Without Rate there is no queue.
	Queue time.Duration
}

// DefaultQueue is the length of the queue of a Link with a rate.
const DefaultQueue = 100 * time.Millisecond

// Matrix is a Link for each ordered pair of hosts: Matrix[from][to].
type Matrix [][]Link

// NewMatrix gives n hosts the same link between any two.
func NewMatrix(n int, l Link) Matrix {
	m := make(Matrix, n)
	for i := range m {
		m[i] = make([]Link, n)
		for j := range m[i] {
			if i != j {
				m[i][j] = l
			}
		}
	}
	return m
}

// check says what is wrong with l.
func (l Link) check() error {
	switch {
	case l.Delay < 0, l.Jitter < 0, l.Queue < 0:
		return errors.New("netem: a time of a link is negative")
	case !(l.Loss >= 0 && l.Loss <= 1), !(l.Duplicate >= 0 && l.Duplicate <= 1):
		return fmt.Errorf("netem: loss %v and duplicate %v must be between 0 and 1", l.Loss, l.Duplicate)
	case l.MTU < 0:
		return fmt.Errorf("netem: MTU %d is negative", l.MTU)
	case !(l.Rate >= 0):
		return fmt.Errorf("netem: rate %v is negative", l.Rate)
	}
	return nil
}

// pair is a link with its state.
type pair struct {
	Link
	rng  *rand.Rand
	free int64 // ns; when the last packet has left
	last int64 // ns; when the last packet arrives
}

// plan says when a packet of size bytes which enters at time now (ns) arrives; copies
// is 0 for a lost packet, 2 for one that is duplicated. full means that the queue was.
func (p *pair) plan(now int64, size int) (due int64, copies int, full bool) {
	// As many numbers for each packet, whatever the settings: the n-th packet's fate
	// does not depend on what was set before.
	loss, dup, jitter := p.rng.Float64(), p.rng.Float64(), 2*p.rng.Float64()-1
	leave := now
	if p.Rate > 0 {
		queue := p.Queue
		if queue == 0 {
			queue = DefaultQueue
		}
		leave = max(leave, p.free)
		if leave-now > int64(queue) {
			return 0, 0, true
		}
		leave += int64(float64(size*8) / p.Rate * 1e9)
		p.free = leave
	}
	if p.MTU > 0 && size > p.MTU {
		return 0, 0, false
	}
	if loss < p.Loss { // behind the queue: a lost packet has taken its time on the link
		return 0, 0, false
	}
	due = max(leave, leave+int64(p.Delay)+int64(jitter*float64(p.Jitter)))
	if !p.Reorder {
		due = max(due, p.last)
		p.last = due
	}
	if dup < p.Duplicate {
		return due, 2, false
	}
	return due, 1, false
}
