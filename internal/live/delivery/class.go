// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"sync"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/payload"
	"sandstream/internal/live/transport"
)

// classifier gives a publisher's payloads their drop classes, by which hosts that see
// headers alone can thin the stream out.
type classifier struct {
	mu   sync.Mutex
	ts   payload.Classifier
	runs []payload.Run
}

// mark sets the class of payloads: what the publisher marked as discardable goes first,
// what it marked as a place where a decoder can start stays if nothing else is known, and
// of the rest the format tells, down to parts of a payload.
func (c *classifier) mark(ps []transport.Payload) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ps {
		p := &ps[i]
		c.runs = c.ts.Runs(c.runs[:0], p.Data)
		if p.Flags&frame.Discardable != 0 {
			p.Class = frame.Disposable
			continue
		}
		if len(c.runs) == 1 {
			p.Class = frame.Class(c.runs[0].Class)
			continue
		}
		p.Runs = p.Runs[:0]
		for _, r := range c.runs {
			p.Runs = append(p.Runs, transport.Run{Bytes: r.Bytes, Class: frame.Class(r.Class)})
		}
	}
}
