// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"sync"
	"time"
)

// maxProblems bounds what is kept of what is wrong; what came first goes first.
const maxProblems = 16

// problems is what stands in the way of this host, or was seen to be wrong, for its
// user: status shows it.
type problems struct {
	mu  sync.Mutex
	all []problem
}

type problem struct {
	with, text string
	until      time.Time // zero: until it is solved
}

// set says what is wrong with something, and whether that is news.
func (p *problems) set(with, text string) (news bool) { return p.keep(problem{with: with, text: text}) }

// setFor is set for what nobody will call solved.
func (p *problems) setFor(d time.Duration, with, text string) (news bool) {
	return p.keep(problem{with: with, text: text, until: time.Now().Add(d)})
}

func (p *problems) keep(n problem) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.old()
	for i := range p.all {
		if e := &p.all[i]; e.with == n.with {
			news = e.text != n.text
			*e = n
			return news
		}
	}
	if len(p.all) == maxProblems {
		p.all = slices.Delete(p.all, 0, 1)
	}
	p.all = append(p.all, n)
	return true
}

// solved says that nothing is wrong with something any more.
func (p *problems) solved(with string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = slices.DeleteFunc(p.all, func(e problem) bool { return e.with == with })
}

// clear says that nothing is wrong any more, but for what has its time.
func (p *problems) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = slices.DeleteFunc(p.all, func(e problem) bool { return e.until.IsZero() })
}

// list gives what is wrong, in words.
func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.old()
	var s []string
	for _, e := range p.all {
		s = append(s, e.text)
	}
	return s
}

// old forgets what had its time. p.mu is held.
func (p *problems) old() {
	now := time.Now()
	p.all = slices.DeleteFunc(p.all, func(e problem) bool { return !e.until.IsZero() && now.After(e.until) })
}
