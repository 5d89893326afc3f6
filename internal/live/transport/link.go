// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sandstream/internal/overlay/wire"
)

// What transports ask one another over a session are control datagrams that begin
// with linkMark, which no message of the protocol does, and a byte that says what
// they are:
//
//	linkAsk     run (24), its host's signature (64), where it is: is another host with
//	            that key alive, beside the one that gets this?
//	linkAnswer  run that was asked about (24), signature (64) of run.sameKey
//	linkProbe, linkProbed  see path.go
const linkMark = 0xff

const (
	linkAsk    = 1
	linkAnswer = 2
)

const (
	runSize   = 24
	askSize   = 2 + runSize + ed25519.SignatureSize
	maxWhere  = 64
	askTries  = 4
	askWithin = 300 * time.Millisecond // for an answer, each time
	askCosts  = 50                     // as many control messages: two signatures
)

// asking is the question whether a peer lives. Under peer.mu.
type asking struct {
	other run           // that shows the same key
	mark  chan [64]byte // the peer's answer
}

func (t *Transport) sign(b []byte) []byte {
	return ed25519.Sign(t.cfg.Identity.Cert.PrivateKey.(ed25519.PrivateKey), b)
}

func (t *Transport) key() ed25519.PublicKey {
	return t.cfg.Identity.Cert.PrivateKey.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
}

func appendRun(b []byte, r run) []byte {
	return binary.BigEndian.AppendUint64(append(b, r.Name[:]...), r.Start)
}

func parseRun(b []byte) run {
	return run{Name: [16]byte(b), Start: binary.BigEndian.Uint64(b[16:])}
}

// sendLink queues a datagram to the transport of a peer, which must have a session.
func (t *Transport) sendLink(p *peer, b []byte) {
	p.mu.Lock()
	if p.sendSession() == nil || len(p.control) >= controlQueue {
		p.mu.Unlock()
		return
	}
	p.control = append(p.control, b)
	tell := p.needTurn()
	p.mu.Unlock()
	if tell {
		t.enqueue(p)
	}
	t.kick()
}

// linked takes a datagram that begins with linkMark.
func (t *Transport) linked(p *peer, b []byte) {
	if len(b) < 2 {
		p.stats.rxMalformed.Add(1)
		return
	}
	switch what := b[1]; {
	case what == linkAsk && len(b) >= askSize:
		t.asked(p, parseRun(b[2:]), b[2+runSize:askSize], string(b[askSize:min(len(b), askSize+maxWhere)]))
	case what == linkAnswer && len(b) >= askSize:
		p.mu.Lock()
		if p.asking != nil && parseRun(b[2:]) == p.asking.other {
			select {
			case p.asking.mark <- [64]byte(b[2+runSize:]):
			default:
			}
		}
		p.mu.Unlock()
	case what == linkProbe && len(b) >= probeHead:
		t.answerProbe(p, b)
	case what == linkProbed && len(b) == probeHead:
		p.probed(b)
	default:
		p.stats.rxMalformed.Add(1) // a host to come may ask more
	}
}

// asked answers that this host lives, to a peer to which another one has shown its
// key, as its signature proves.
func (t *Transport) asked(p *peer, other run, sealed []byte, where string) {
	if !p.mayControl(t.now(), askCosts) {
		p.stats.rxRateLimited.Add(1)
		return
	}
	if other.Name == t.run.Name || !ed25519.Verify(t.key(), other.sealed(), sealed) {
		p.stats.rxMalformed.Add(1)
		return
	}
	b := appendRun([]byte{linkMark, linkAnswer}, other)
	b = append(b, t.sign(t.run.sameKey(other))...)
	t.spawn(func() {
		t.sendLink(p, b)
		// It may be this host's own last run of which the peer tells: that has begun
		// before, and is over.
		if t.run.before(other) {
			t.handler.Twin(words(where), false)
		}
	})
}

// onlyOne looks whether the host with which there is a session lives still, when
// another one shows the same key: a host that has merely started anew, at whatever
// address, has not kept its old session. waits is called while the answer is awaited.
func (t *Transport) onlyOne(ctx context.Context, id wire.HostID, key ed25519.PublicKey, theirs *hello, from netip.AddrPort, waits func()) error {
	if !ed25519.Verify(key, theirs.Run.sealed(), theirs.Sealed) {
		return refuse(codeMalformed, errHello)
	}
	p, own := t.rival(id, theirs.Run, from)
	if p == nil {
		return nil
	}
	ask := appendRun([]byte{linkMark, linkAsk}, theirs.Run)
	ask = append(append(ask, theirs.Sealed...), from.String()...)
	q := &asking{other: theirs.Run, mark: make(chan [64]byte, 1)}
	p.mu.Lock()
	p.asking = q
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		if p.asking == q {
			p.asking = nil
		}
		p.mu.Unlock()
	}()
	for range askTries {
		t.sendLink(p, bytes.Clone(ask))
		select {
		case m := <-q.mark:
			w := twin{run: own, mark: m}
			if !w.proves(key, theirs.Run) {
				continue
			}
			return &refusal{
				codeTwin, base64.StdEncoding.EncodeToString(w.encode()) + " " + p.address().String(),
				fmt.Errorf("%w: host %s is at %s, and a copy of its key at %s", ErrTwin, id.Hex(), p.address(), from),
			}
		case <-time.After(askWithin):
			waits()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// rival is the peer with this id, and its run, if it may live beside a host in another
// run at an address.
func (t *Transport) rival(id wire.HostID, other run, from netip.AddrPort) (*peer, run) {
	t.peerMu.Lock()
	p := t.peers[id]
	t.peerMu.Unlock()
	if p == nil {
		return nil, run{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sendSession()
	// Of two that live at one time, only one can have an address.
	if s == nil || !s.link || s.run == other || p.data == nil || unmapped(p.data.AddrPort()) == from {
		return nil, run{}
	}
	return p, s.run
}

// metMyself is the error of having met a host with this host's key, itself or not.
func (t *Transport) metMyself(theirs *hello, at netip.AddrPort) error {
	if theirs.Run.Name == t.run.Name {
		return ErrSelf
	}
	t.twin(at.String(), theirs.Run)
	return fmt.Errorf("%w: it is at %s", ErrTwin, at)
}

// provenTwin is the error of another host having been proven to live with this one's
// key; nil if that is not proven.
func (t *Transport) provenTwin(text string) error {
	code, at, _ := strings.Cut(text, " ")
	b, err := base64.StdEncoding.DecodeString(code)
	var w twin
	if err != nil || !w.decode(b) || !w.proves(t.key(), t.run) {
		return nil
	}
	at = words(at)
	t.twin(at, w.run)
	return fmt.Errorf("%w: it is at %s", ErrTwin, at)
}

// twin tells the handler of a host that lives with this one's key.
func (t *Transport) twin(at string, other run) { t.handler.Twin(at, other.before(t.run)) }

// refused tells the log of a host that was not let in. One that tries again and again
// is told of once a minute.
func (t *Transport) refused(addr string, err error) {
	t.refusals.Lock()
	defer t.refusals.Unlock()
	now, text := t.now(), err.Error()
	if at, said := t.refusals.at[text]; said && now-at < time.Minute {
		return
	}
	if t.refusals.at == nil || len(t.refusals.at) >= 64 {
		t.refusals.at = map[string]time.Duration{}
	}
	t.refusals.at[text] = now
	t.cfg.Log.Warn("refused a host", "addr", addr, "err", text)
}

// refusals is what the log has of hosts that were not let in, and when.
type refusals struct {
	sync.Mutex
	at map[string]time.Duration
}
