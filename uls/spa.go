// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sandstream/uls/internal/abi"
)

// Hex is a number that people and JSON see in hexadecimal: addresses of the
// region do not fit JSON's numbers.
type Hex uint64

func (h Hex) String() string { return fmt.Sprintf("%#x", uint64(h)) }

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 0, 64)
	*h = Hex(v)
	return err
}

// State of an SPA.
type State string

// The states.
const (
	StateBuilding State = "building" // half loaded
	StateLive     State = "live"
	StateAborted  State = "aborted" // taken out of service; see SPA.Abort
)

// Segment is a mapped part of an SPA's image.
type Segment struct {
	Offset Hex    `json:"offset"` // from the slice's base
	Size   uint64 `json:"size"`   // bytes
	Prot   string `json:"prot"`   // "r-x", "r--", "rw-"
}

// Param is a parameter of an SPA and its value.
type Param struct {
	Name  string `json:"name"`
	Type  string `json:"type"`  // u64, bool, ipv4, mac
	Value string `json:"value"` // in the type's notation
	Help  string `json:"help,omitempty"`

	typ uint32
	raw uint64
}

// SPA is a stream processing agent the kernel knows.
type SPA struct {
	ID        uint32    `json:"id"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	State     State     `json:"state"`
	Isolation string    `json:"isolation"`
	Device    string    `json:"device,omitempty"`  // empty: none, or it is not in this network namespace
	Ifindex   uint32    `json:"ifindex,omitempty"` // 0: no port
	Queue     uint32    `json:"queue"`
	BudgetNS  uint64    `json:"budget_ns"`
	RuntimeNS uint64    `json:"runtime_ns"` // hard reservation, 0: none
	PeriodNS  uint64    `json:"period_ns"`
	HomeCPU   *uint32   `json:"home_cpu,omitempty"` // the CPU on which it is kept; nil: on none
	TickUS    uint32    `json:"tick_us"`            // 0: none
	Serial    bool      `json:"serial"`             // never on two CPUs at once
	FPU       bool      `json:"fpu"`
	Since     time.Time `json:"since,omitzero"` // it went live
	Base      Hex       `json:"base"`           // address of its slice
	Entry     Hex       `json:"entry"`          // offset of the entry point from base
	ImageSize uint64    `json:"image_size"`     // bytes, as the following
	StackSize uint32    `json:"stack_size"`
	HeapSize  uint64    `json:"heap_size"`
	UmemSize  uint64    `json:"umem_size"`
	ChunkSize uint32    `json:"chunk_size"`
	Segments  []Segment `json:"segments"`
	Params    []Param   `json:"params"`
	Counters  []string  `json:"counters"`
	Abort     *Abort    `json:"abort,omitempty"`
}

// Reserve is the hard reservation of the SPA's port.
func (s *SPA) Reserve() Reserve {
	return Reserve{Runtime: time.Duration(s.RuntimeNS), Period: time.Duration(s.PeriodNS)}
}

// SPAs lists all, by id.
func (c *Client) SPAs() ([]*SPA, error) {
	msgs, err := c.execute(abi.CmdSpaGet, netlink.Dump, nil)
	if err != nil {
		return nil, wrap("list", "SPAs", err)
	}
	clock := newBootClock()
	spas := make([]*SPA, 0, len(msgs))
	for _, b := range msgs {
		s, err := decodeSPA(b, clock)
		if err != nil {
			return nil, wrap("list", "SPAs", err)
		}
		spas = append(spas, s)
	}
	return spas, nil
}

// SPAByName finds one; the error is os.ErrNotExist if there is none.
func (c *Client) SPAByName(name string) (*SPA, error) {
	return c.spa(name, func(ae *netlink.AttributeEncoder) { ae.String(abi.AttrSpaName, name) })
}

// SPA finds one by its id.
func (c *Client) SPA(id uint32) (*SPA, error) {
	return c.spa(fmt.Sprint(id), func(ae *netlink.AttributeEncoder) { ae.Uint32(abi.AttrSpaID, id) })
}

func (c *Client) spa(object string, fill attrs) (*SPA, error) {
	b, err := c.ask(abi.CmdSpaGet, fill)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errorf("SPA", object, err, "there is none of that name").hint("'ulsctl list' shows what there is")
	}
	if err != nil {
		return nil, wrap("show", object, err)
	}
	s, err := decodeSPA(b, newBootClock())
	return s, wrap("show", object, err)
}

func decodeSPA(b []byte, clock bootClock) (*SPA, error) {
	s := &SPA{Segments: []Segment{}, Params: []Param{}, Counters: []string{}}
	err := decode(b, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case abi.AttrSpaID:
			s.ID = ad.Uint32()
		case abi.AttrSpaName:
			s.Name = ad.String()
		case abi.AttrSpaVersion:
			s.Version = ad.String()
		case abi.AttrSpaState:
			s.State = State(abi.State(ad.Uint32()).String())
		case abi.AttrSpaIsolation:
			s.Isolation = abi.Isolation(ad.Uint32()).String()
		case abi.AttrSpaIfindex:
			s.Ifindex = ad.Uint32()
		case abi.AttrSpaQueue:
			s.Queue = ad.Uint32()
		case abi.AttrSpaBudgetNs:
			s.BudgetNS = ad.Uint64()
		case abi.AttrSpaRuntimeNs:
			s.RuntimeNS = ad.Uint64()
		case abi.AttrSpaPeriodNs:
			s.PeriodNS = ad.Uint64()
		case abi.AttrSpaHomeCPU:
			cpu := ad.Uint32()
			s.HomeCPU = &cpu
		case abi.AttrSpaTickUs:
			s.TickUS = ad.Uint32()
		case abi.AttrSpaFlags:
			f := ad.Uint32()
			s.Serial, s.FPU = f&abi.ManifestSerial != 0, f&abi.ManifestFPU != 0
		case abi.AttrSpaSince:
			s.Since = clock.time(ad.Uint64())
		case abi.AttrSpaBase:
			s.Base = Hex(ad.Uint64())
		case abi.AttrSpaEntry:
			s.Entry = Hex(ad.Uint64())
		case abi.AttrSpaImageSize:
			s.ImageSize = ad.Uint64()
		case abi.AttrSpaStackSize:
			s.StackSize = ad.Uint32()
		case abi.AttrSpaHeapSize:
			s.HeapSize = ad.Uint64()
		case abi.AttrSpaUmemSize:
			s.UmemSize = ad.Uint64()
		case abi.AttrSpaChunkSize:
			s.ChunkSize = ad.Uint32()
		case abi.AttrSpaCounterName:
			s.Counters = append(s.Counters, ad.String())
		case abi.AttrSpaSegment:
			ad.Nested(func(nad *netlink.AttributeDecoder) error {
				s.Segments = append(s.Segments, decodeSegment(nad))
				return nil
			})
		case abi.AttrSpaParam:
			ad.Nested(func(nad *netlink.AttributeDecoder) error {
				s.Params = append(s.Params, decodeParam(nad))
				return nil
			})
		case abi.AttrSpaAbort:
			ad.Nested(func(nad *netlink.AttributeDecoder) error {
				s.Abort = decodeAbort(nad, clock)
				return nil
			})
		}
	})
	if err != nil {
		return nil, err
	}
	if s.ID == 0 || s.Name == "" {
		return nil, errShort
	}
	if s.Abort != nil {
		s.Abort.base = uint64(s.Base)
	}
	if s.Ifindex != 0 {
		if ifi, err := net.InterfaceByIndex(int(s.Ifindex)); err == nil {
			s.Device = ifi.Name
		}
	}
	return s, nil
}

func decodeSegment(ad *netlink.AttributeDecoder) (s Segment) {
	for ad.Next() {
		switch ad.Type() {
		case abi.AttrSegmentOffset:
			s.Offset = Hex(ad.Uint64())
		case abi.AttrSegmentSize:
			s.Size = ad.Uint64()
		case abi.AttrSegmentProt:
			s.Prot = protString(ad.Uint32())
		}
	}
	return s
}

// protString writes a protection as ls does.
func protString(prot uint32) string {
	b := []byte("---")
	for i, p := range []abi.SegmentProt{abi.SegmentProtRead, abi.SegmentProtWrite, abi.SegmentProtExec} {
		if prot&uint32(p) != 0 {
			b[i] = "rwx"[i]
		}
	}
	return string(b)
}

func decodeParam(ad *netlink.AttributeDecoder) (p Param) {
	for ad.Next() {
		switch ad.Type() {
		case abi.AttrParamName:
			p.Name = ad.String()
		case abi.AttrParamType:
			p.typ = ad.Uint32()
		case abi.AttrParamValue:
			p.raw = ad.Uint64()
		case abi.AttrParamHelp:
			p.Help = ad.String()
		}
	}
	p.Type, p.Value = abi.ParamType(p.typ).String(), formatParam(p.typ, p.raw)
	return p
}

// bootClock converts the kernel's CLOCK_BOOTTIME into calendar time.
type bootClock struct {
	now  time.Time
	boot uint64
}

func newBootClock() bootClock {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return bootClock{}
	}
	return bootClock{time.Now(), uint64(ts.Nano())}
}

func (c bootClock) time(ns uint64) time.Time {
	if ns == 0 || c.now.IsZero() {
		return time.Time{}
	}
	return c.now.Add(-time.Duration(c.boot - ns)).Round(0)
}
