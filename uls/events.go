// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"

	"sandstream/uls/internal/abi"
)

// EventKind says what happened.
type EventKind string

// The kinds.
const (
	EventMapped   EventKind = "mapped"
	EventAborted  EventKind = "aborted" // SPA.Abort says why
	EventUnmapped EventKind = "unmapped"
	EventReplaced EventKind = "replaced" // SPA took the place of another
)

// Event is something that happened to an SPA.
type Event struct {
	Time time.Time `json:"time"` // it was received
	Kind EventKind `json:"event"`
	SPA  *SPA      `json:"spa"`
}

// ErrLost: events came faster than they were read; SPAs tells where things stand.
var ErrLost = errors.New("events were lost: they came faster than they were read")

// Events is a subscription.
type Events struct {
	c      *Client
	queue  []Event
	family uint16
}

// Subscribe begins to collect events; no privileges are needed.
func Subscribe() (*Events, error) {
	c, err := New()
	if err != nil {
		return nil, err
	}
	// Who may see no SPA could join, but would wait in vain.
	if _, err := c.SPAs(); err != nil {
		c.Close()
		return nil, err
	}
	return subscribe(c)
}

func subscribe(c *Client) (*Events, error) {
	for _, g := range c.family.Groups {
		if g.Name != abi.GroupEvents {
			continue
		}
		if err := c.c.JoinGroup(g.ID); err != nil {
			c.Close()
			return nil, wrap("subscribe to", "events", err)
		}
		return &Events{c: c, family: c.family.ID}, nil
	}
	c.Close()
	return nil, wrap("subscribe to", "events", errShort)
}

// Close ends the subscription.
func (e *Events) Close() error { return e.c.Close() }

// Next waits for an event; it returns ctx's error when ctx ends, and ErrLost once
// after events were lost.
func (e *Events) Next(ctx context.Context) (Event, error) {
	stop := context.AfterFunc(ctx, func() { _ = e.c.c.SetReadDeadline(time.Now()) })
	defer func() {
		if !stop() {
			_ = e.c.c.SetReadDeadline(time.Time{})
		}
	}()
	for len(e.queue) == 0 {
		msgs, _, err := e.c.c.Receive()
		switch {
		case ctx.Err() != nil:
			return Event{}, context.Cause(ctx)
		case errors.Is(err, unix.ENOBUFS):
			return Event{}, ErrLost
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return Event{}, wrap("receive", "events", err)
		}
		if err := e.add(msgs); err != nil {
			return Event{}, wrap("receive", "events", err)
		}
	}
	ev := e.queue[0]
	e.queue = e.queue[1:]
	return ev, nil
}

var eventKinds = map[uint8]EventKind{
	abi.CmdSpaMappedNtf: EventMapped, abi.CmdSpaAbortedNtf: EventAborted,
	abi.CmdSpaUnmappedNtf: EventUnmapped, abi.CmdSpaReplacedNtf: EventReplaced,
}

func (e *Events) add(msgs []genetlink.Message) error {
	clock := newBootClock()
	for _, m := range msgs {
		kind, ok := eventKinds[m.Header.Command]
		if !ok {
			continue // of a newer module
		}
		s, err := decodeSPA(m.Data, clock)
		if err != nil {
			return err
		}
		e.queue = append(e.queue, Event{Time: time.Now(), Kind: kind, SPA: s})
	}
	return nil
}
