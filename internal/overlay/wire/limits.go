// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Limits of what a message may carry: more is refused by Decode.
const (
	MaxName    = 64   // bytes of a stream's or SPA's name
	MaxPath    = 40   // hosts of a path
	MaxRecords = 256  // records of a message
	MaxInfo    = 1024 // bytes of the words in a directory entry
	MaxStages  = 8    // SPAs of a pipeline
	MaxParts   = 4    // parts of a split stream
	MaxAvoid   = 8    // hosts that a lookup or a path is to stay clear of
	maxReason  = 256  // bytes of a reason
	MaxMessage = 60e3 // bytes of an encoded message
)

// NoBudget is a latency budget without bound, see Graft.
const NoBudget = math.MaxUint32

// check refuses what CBOR's own limits do not.
func (m *Lookup) check() error {
	if m.Kind > List {
		return fmt.Errorf("lookup kind %d", m.Kind)
	}
	err := most("hosts to avoid", len(m.Avoid), MaxAvoid)
	if m.Info != nil {
		err = errors.Join(err, m.Info.Check())
	}
	return err
}

func (m *Graft) check() error {
	return errors.Join(m.SubReq.check(), m.Info.Check(), path(m.Path), spaName(m.Degrade))
}

func (m *Beat) check() error {
	return errors.Join(m.Info.Check(), path(m.Path), stages(m.Todo), spaName(m.Degrade))
}

func reason(s string) error { return most("reason", len(s), maxReason) }

func spaName(s string) error { return most("SPA name", len(s), MaxName) }

func (m *SubReq) check() error {
	return errors.Join(most("hosts to avoid", len(m.Avoid), MaxAvoid), m.Contract.Check())
}

// Check refuses a contract that asks too much in length.
func (c *Contract) Check() error {
	err := most("degrading SPAs", len(c.Degrade), MaxStages)
	for _, s := range c.Degrade {
		err = errors.Join(err, spaName(s))
	}
	return err
}

// Check refuses an entry that says too much, or whose parts do not fit together.
func (i *StreamInfo) Check() error {
	if err := i.checkParts(); err != nil {
		return err
	}
	words := len(i.Name)
	for _, s := range i.Pipeline {
		words += len(s.SPA)
		for k := range s.Params {
			words += len(k) + 9
		}
	}
	return errors.Join(most("stream name", len(i.Name), MaxName), stages(i.Pipeline), most("bytes of the stream's description", words, MaxInfo))
}

func infos(v []StreamInfo) error {
	for i := range v {
		if err := v[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

func stages(v []Stage) error {
	err := most("stages", len(v), MaxStages)
	for _, s := range v {
		err = errors.Join(err, spaName(s.SPA), most("parameters", len(s.Params), 16))
		for k := range s.Params {
			err = errors.Join(err, most("parameter name", len(k), MaxName))
		}
		if s.Place > Anywhere {
			err = errors.Join(err, fmt.Errorf("place %d", s.Place))
		}
	}
	return err
}

func path(v []Hop) error {
	err := most("hops", len(v), MaxPath)
	for _, h := range v {
		err = errors.Join(err, spaName(h.SPA))
	}
	return err
}

func most(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%s: %d, at most %d", what, n, limit)
	}
	return nil
}

// checkParts refuses lists that do not say which part the stream is.
func (i *StreamInfo) checkParts() error {
	if len(i.Parts) == 0 {
		return nil
	}
	if len(i.Parts) == 1 {
		return errors.New("one part is no split stream")
	}
	err := most("parts", len(i.Parts), MaxParts)
	own := false
	for j, p := range i.Parts {
		own = own || p.ID == i.ID
		if p.Weight == 0 || slices.ContainsFunc(i.Parts[:j], func(q Part) bool { return q.ID == p.ID }) {
			err = errors.Join(err, fmt.Errorf("part %d has no weight or comes twice", j))
		}
	}
	if !own {
		err = errors.Join(err, errors.New("the stream is none of its parts"))
	}
	return err
}
