// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// A message on the wire is its kind in one byte, then the fields in CBOR (RFC
// 8949, core deterministic encoding) with small integers for keys.
var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxArrayElements:  MaxRecords,
		MaxMapPairs:       32,
		MaxNestedLevels:   8,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options of this file: a mistake of the programmer
	}
	return v
}

// ErrMessage is the root of all errors of Decode.
var ErrMessage = errors.New("not a message of the overlay")

func blank(k kind) Message {
	switch k {
	case kPing:
		return new(Ping)
	case kAck:
		return new(Ack)
	case kPingReq:
		return new(PingReq)
	case kPingRes:
		return new(PingRes)
	case kPull:
		return new(Pull)
	case kAnnounce:
		return new(Announce)
	case kMoved:
		return new(Moved)
	case kQuery:
		return new(Query)
	case kDead:
		return new(Dead)
	case kHeirloom:
		return new(Heirloom)
	case kLookup:
		return new(Lookup)
	case kFound:
		return new(Found)
	case kJoinAsk:
		return new(JoinAsk)
	case kJoinNo:
		return new(JoinNo)
	case kOffer:
		return new(Offer)
	case kAccept:
		return new(Accept)
	case kCommit:
		return new(Commit)
	case kDone:
		return new(Done)
	case kCancel:
		return new(Cancel)
	case kSubReq:
		return new(SubReq)
	case kGraft:
		return new(Graft)
	case kAttach:
		return new(Attach)
	case kDetach:
		return new(Detach)
	case kNoStream:
		return new(NoStream)
	case kBeat:
		return new(Beat)
	case kRefuse:
		return new(Refuse)
	case kSwapFind:
		return new(SwapFind)
	case kSwapNo:
		return new(SwapNo)
	}
	return nil
}

// Encode appends the wire form of m to dst.
func Encode(dst []byte, m Message) []byte {
	b, err := encMode.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("overlay: %T: %v", m, err)) // no message holds what CBOR cannot say
	}
	return append(append(dst, byte(m.kind())), b...)
}

// Decode reads one message that fills b. What is too long, unknown or out of
// range is refused, so that the core never sees it.
func Decode(b []byte) (Message, error) {
	if len(b) == 0 || len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	m := blank(kind(b[0]))
	if m == nil {
		return nil, fmt.Errorf("%w: kind %d", ErrMessage, b[0])
	}
	if err := decMode.Unmarshal(b[1:], m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMessage, KindOf(m), err)
	}
	if err := check(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMessage, KindOf(m), err)
	}
	return m, nil
}

// check refuses lengths over the limits of types.go.
func check(m Message) error {
	switch m := m.(type) {
	case *Heirloom:
		return errors.Join(most("peers", len(m.Peers), MaxRecords), infos(m.Infos))
	case *Lookup:
		if m.Kind > Drop {
			return fmt.Errorf("lookup kind %d", m.Kind)
		}
		err := most("hosts to avoid", len(m.Avoid), maxAvoid)
		if m.Info != nil {
			err = errors.Join(err, m.Info.check())
		}
		return err
	case *Found:
		return infos(m.Infos)
	case *Offer:
		return infos(m.Infos)
	case *JoinNo:
		return most("reason", len(m.Reason), 256)
	case *Accept:
		return errors.Join(most("reason", len(m.Reason), 256), infos(m.Infos))
	case *Refuse:
		return most("reason", len(m.Reason), 256)
	case *SwapNo:
		return most("reason", len(m.Reason), 256)
	case *SubReq:
		return m.check()
	case *Graft:
		return errors.Join(m.SubReq.check(), m.Info.check(), path(m.Path), most("SPA name", len(m.Degrade), MaxName))
	case *Attach:
		return most("SPA name", len(m.Degrade), MaxName)
	case *Beat:
		return errors.Join(m.Info.check(), path(m.Path), stages(m.Todo), most("SPA name", len(m.Degrade), MaxName))
	}
	return nil
}

func (m *SubReq) check() error {
	return errors.Join(most("excluded hosts", len(m.Exclude), maxAvoid), m.Contract.Check())
}

// Check refuses a contract that asks too much in length.
func (c *Contract) Check() error {
	err := most("degrading SPAs", len(c.Degrade), MaxStages)
	for _, s := range c.Degrade {
		err = errors.Join(err, most("SPA name", len(s), MaxName))
	}
	return err
}

func (i *StreamInfo) check() error {
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
		if err := v[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func stages(v []Stage) error {
	err := most("stages", len(v), MaxStages)
	for _, s := range v {
		err = errors.Join(err, most("SPA name", len(s.SPA), MaxName), most("parameters", len(s.Params), 16))
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
		err = errors.Join(err, most("SPA name", len(h.SPA), MaxName))
	}
	return err
}

func most(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%s: %d, at most %d", what, n, limit)
	}
	return nil
}
