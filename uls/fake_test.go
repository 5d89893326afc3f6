// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/genetlink/genltest"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sandstream/internal/host/shm"
	"sandstream/uls/internal/abi"
)

// replies are the commands that are answered with a message of their own.
var replies = map[uint8]bool{
	abi.CmdInfo: true, abi.CmdSpaBegin: true, abi.CmdSpaCommit: true, abi.CmdSpaControl: true, abi.CmdSpaGet: true,
	abi.CmdStatsGet: true, abi.CmdLogGet: true, abi.CmdBench: true, abi.CmdLimitGet: true,
}

// fakeModule answers as the kernel's would, as far as loading an SPA without a
// port goes. It keeps what it was told, so that tests can look.
type fakeModule struct {
	t      *testing.T
	fail   map[uint8]error // what a command is answered with, instead
	calls  []uint8
	family uint16
	reason string // not empty: upcalls are impossible
	share  uint32
	next   uint32
	spas   map[uint32]*fakeSPA
	multi  []genetlink.Message // events to be received
}

type fakeSPA struct {
	id       uint32
	name     string
	state    abi.State
	image    []byte // from ULS_OFF_IMAGE
	params   []Param
	counters []string
	control  [][]byte
	budget   uint64
	runtime  uint64
	home     *uint32
	period   uint64
	ifindex  uint32
	queue    uint32
	abort    []byte
}

const fakeBase = shm.RegionBase + 7*shm.SliceSize

func newFake(t *testing.T) (*fakeModule, *Client) {
	t.Helper()
	m := &fakeModule{
		t: t, family: 0x21, fail: map[uint8]error{}, spas: map[uint32]*fakeSPA{},
	}
	c, err := newClient(m.dial(abi.FamilyVersion))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return m, c
}

func (m *fakeModule) dial(version uint8) *genetlink.Conn {
	return genltest.Dial(genltest.ServeFamily(genetlink.Family{
		ID: m.family, Version: version, Name: abi.FamilyName,
		Groups: []genetlink.MulticastGroup{{ID: 9, Name: abi.GroupEvents}},
	}, m.serve))
}

// extack is an error as the kernel gives it, with words.
func extack(errno unix.Errno, text string) error {
	return &netlink.OpError{Op: "receive", Err: errno, Message: text}
}

func (m *fakeModule) serve(g genetlink.Message, n netlink.Message) ([]genetlink.Message, error) {
	if len(n.Data) == 0 { // Receive of a subscription
		out := m.multi
		m.multi = nil
		if out == nil {
			return nil, unix.ENOBUFS
		}
		return out, nil
	}
	cmd := g.Header.Command
	m.calls = append(m.calls, cmd)
	if err := m.fail[cmd]; err != nil {
		return nil, err
	}
	if ack := n.Header.Flags&netlink.Acknowledge != 0; ack == replies[cmd] {
		m.t.Errorf("command %d: acknowledgement asked for: %v, but it has a reply: %v", cmd, ack, replies[cmd])
	}
	var in attributes
	must(m.t, decode(g.Data, in.add))
	var out []byte
	switch cmd {
	case abi.CmdInfo:
		out = m.info()
	case abi.CmdSpaGet:
		if n.Header.Flags&netlink.Dump == netlink.Dump {
			return m.dump()
		}
		s := m.find(in)
		if s == nil {
			return nil, extack(unix.ENOENT, "no SPA")
		}
		out = s.encode(m.t)
	case abi.CmdSpaBegin:
		out = m.begin(in)
	case abi.CmdLimitGet:
		out = m.limit()
	case abi.CmdLimitSet:
		m.share = in.u32(abi.AttrLimitCPUShare)
	default:
		s := m.spas[in.u32(abi.AttrSpaID)]
		if s == nil {
			return nil, extack(unix.ENOENT, "no SPA of that id")
		}
		out = m.change(cmd, s, in)
	}
	return []genetlink.Message{{Header: genetlink.Header{Command: cmd, Version: 1}, Data: out}}, nil
}

func (m *fakeModule) info() []byte {
	return m.attrs(func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrInfoVersion, abi.FamilyVersion)
		ae.Uint32(abi.AttrInfoABI, abi.ABIVersion)
		ae.String(abi.AttrInfoRelease, "1.0")
		ae.Uint32(abi.AttrInfoSlices, 512)
		ae.Uint64(abi.AttrInfoBudgetDefaultNs, abi.BudgetDefaultNs)
		if m.reason == "" {
			ae.Flag(abi.AttrInfoKernelSupported, true)
		} else {
			ae.String(abi.AttrInfoUnsupportedReason, m.reason)
		}
		ae.Nested(abi.AttrInfoMemory, func(nae *netlink.AttributeEncoder) error {
			nae.Uint64(abi.AttrMemoryPages, 1<<40)
			nae.Uint64(abi.AttrMemoryAllocations, 23)
			nae.Uint64(abi.AttrMemorySockets, 2)
			return nil
		})
	})
}

func (m *fakeModule) limit() []byte {
	return m.attrs(func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrLimitCPUShare, m.share)
		for cpu := range uint32(2) {
			ae.Nested(abi.AttrLimitCPU, func(nae *netlink.AttributeEncoder) error {
				nae.Uint32(abi.AttrCPUAccountCPU, cpu)
				nae.Uint32(abi.AttrCPUAccountReservations, 1)
				nae.Uint32(abi.AttrCPUAccountReservedPpm, 100000+cpu)
				nae.Uint32(abi.AttrCPUAccountLeftPpm, 350000)
				nae.Uint32(abi.AttrCPUAccountPoolPpm, 400000)
				nae.Uint64(abi.AttrCPUAccountTakenNs, 1<<40)
				return nil
			})
		}
	})
}

func (m *fakeModule) dump() ([]genetlink.Message, error) {
	var out []genetlink.Message
	for id := range m.next + 1 {
		if s := m.spas[id]; s != nil {
			out = append(out, genetlink.Message{Header: genetlink.Header{Command: abi.CmdSpaGet}, Data: s.encode(m.t)})
		}
	}
	if out == nil {
		return nil, io.EOF // a dump of nothing
	}
	return out, nil
}

func (m *fakeModule) find(in attributes) (found *fakeSPA) {
	for _, s := range m.spas {
		if s.id == in.u32(abi.AttrSpaID) || (s.name == in.text(abi.AttrSpaName) && (found == nil || s.id > found.id)) {
			found = s
		}
	}
	return found
}

func (m *fakeModule) begin(in attributes) []byte {
	m.next++
	s := &fakeSPA{id: m.next, name: in.text(abi.AttrSpaName), image: make([]byte, in.u64(abi.AttrSpaImageSize))}
	for _, a := range in {
		switch a.Type {
		case abi.AttrSpaParam:
			ad, err := netlink.NewAttributeDecoder(a.Data)
			must(m.t, err)
			s.params = append(s.params, decodeParam(ad))
		case abi.AttrSpaCounterName:
			s.counters = append(s.counters, string(bytes.TrimRight(a.Data, "\x00")))
		}
	}
	m.spas[s.id] = s
	return m.attrs(func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrSpaID, s.id)
		ae.Uint64(abi.AttrSpaBase, fakeBase)
	})
}

func (m *fakeModule) change(cmd uint8, s *fakeSPA, in attributes) []byte {
	switch cmd {
	case abi.CmdSpaWrite:
		data := in.bytes(abi.AttrSpaData)
		if len(data) == 0 || len(data) > abi.WriteMax {
			m.t.Errorf("a write of %d bytes", len(data))
		}
		copy(s.image[in.u64(abi.AttrSpaOffset)-shm.OffImage:], data)
	case abi.CmdSpaCommit:
		s.state = abi.StateLive
		s.budget = in.u64(abi.AttrSpaBudgetNs)
		s.runtime, s.period = in.u64(abi.AttrSpaRuntimeNs), in.u64(abi.AttrSpaPeriodNs)
		for _, a := range in {
			if a.Type == abi.AttrSpaControl {
				s.control = append(s.control, a.Data)
			}
		}
		delete(m.spas, in.u32(abi.AttrSpaReplaceID))
	case abi.CmdSpaSet:
		s.runtime, s.period = in.u64(abi.AttrSpaRuntimeNs), in.u64(abi.AttrSpaPeriodNs)
	case abi.CmdSpaControl:
		s.control = append(s.control, slices.Clone(in.bytes(abi.AttrSpaData)))
	case abi.CmdSpaDiscard, abi.CmdSpaDel:
		delete(m.spas, s.id)
	}
	return nil
}

func (m *fakeModule) attrs(fill attrs) []byte {
	ae := netlink.NewAttributeEncoder()
	fill(ae)
	b, err := ae.Encode()
	must(m.t, err)
	return b
}

func (s *fakeSPA) encode(t *testing.T) []byte {
	t.Helper()
	m := &fakeModule{t: t}
	return m.attrs(func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrSpaID, s.id)
		ae.String(abi.AttrSpaName, s.name)
		ae.Uint32(abi.AttrSpaState, uint32(s.state))
		ae.Uint64(abi.AttrSpaBase, fakeBase)
		ae.Uint64(abi.AttrSpaEntry, shm.OffImage)
		ae.Uint64(abi.AttrSpaBudgetNs, s.budget)
		ae.Uint64(abi.AttrSpaRuntimeNs, s.runtime)
		ae.Uint64(abi.AttrSpaPeriodNs, s.period)
		if s.home != nil {
			ae.Uint32(abi.AttrSpaHomeCPU, *s.home)
		}
		ae.Uint32(abi.AttrSpaFlags, shm.ManifestSerial)
		if s.ifindex != 0 {
			ae.Uint32(abi.AttrSpaIfindex, s.ifindex)
			ae.Uint32(abi.AttrSpaQueue, s.queue)
		}
		for _, p := range s.params {
			ae.Nested(abi.AttrSpaParam, func(nae *netlink.AttributeEncoder) error {
				nae.String(abi.AttrParamName, p.Name)
				nae.Uint32(abi.AttrParamType, p.typ)
				nae.Uint64(abi.AttrParamValue, p.raw)
				nae.String(abi.AttrParamHelp, p.Help)
				return nil
			})
		}
		for _, c := range s.counters {
			ae.String(abi.AttrSpaCounterName, c)
		}
		ae.Nested(abi.AttrSpaSegment, func(nae *netlink.AttributeEncoder) error {
			nae.Uint64(abi.AttrSegmentOffset, shm.OffImage)
			nae.Uint64(abi.AttrSegmentSize, 8192)
			nae.Uint32(abi.AttrSegmentProt, uint32(abi.SegmentProtRead|abi.SegmentProtExec))
			return nil
		})
		if s.abort != nil {
			ae.Bytes(abi.AttrSpaAbort|unix.NLA_F_NESTED, s.abort)
		}
	})
}

// attributes are those of a request, as raw bytes.
type attributes []netlink.Attribute

func (a *attributes) add(ad *netlink.AttributeDecoder) {
	*a = append(*a, netlink.Attribute{Type: ad.Type(), Data: slices.Clone(ad.Bytes())})
}

func (a attributes) bytes(typ uint16) []byte {
	for _, x := range a {
		if x.Type == typ {
			return x.Data
		}
	}
	return nil
}

func (a attributes) text(typ uint16) string { return string(bytes.TrimRight(a.bytes(typ), "\x00")) }

func (a attributes) u32(typ uint16) (v uint32) {
	for i, b := range a.bytes(typ) {
		v |= uint32(b) << (8 * i)
	}
	return v
}

func (a attributes) u64(typ uint16) (v uint64) {
	for i, b := range a.bytes(typ) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commands names what the module was asked, for comparing.
func commands(calls []uint8) string {
	names := map[uint8]string{
		abi.CmdInfo: "info", abi.CmdSpaGet: "get", abi.CmdSpaBegin: "begin", abi.CmdSpaWrite: "write",
		abi.CmdSpaSet: "set", abi.CmdSpaCommit: "commit", abi.CmdSpaControl: "control", abi.CmdSpaDiscard: "discard", abi.CmdSpaDel: "del",
	}
	out := ""
	for _, c := range calls {
		if names[c] == "" {
			names[c] = fmt.Sprint("command", c)
		}
		out += names[c] + " "
	}
	return out
}
