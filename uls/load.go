// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mdlayher/netlink"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf"
	"sandstream/uls/internal/abi"
)

// Reserve is a hard reservation of CPU time for the port of an SPA: of each
// Period it gets Runtime, whatever else the machine does, and no more. The zero
// value reserves nothing: then the pool of the CPU pays, see CPULimit.
type Reserve struct {
	Runtime, Period time.Duration
}

// begin opens a load: the kernel sets a slice aside and tells its base.
func (c *Client) begin(img *spaelf.Image, name string) (id uint32, base uint64, err error) {
	b, err := c.ask(abi.CmdSpaBegin, func(ae *netlink.AttributeEncoder) {
		ae.String(abi.AttrSpaName, name)
		ae.String(abi.AttrSpaVersion, img.Version)
		ae.Uint32(abi.AttrSpaFlags, img.Flags)
		ae.Uint32(abi.AttrSpaStackSize, uint32(pages(uint64(img.Stack))))
		ae.Uint64(abi.AttrSpaHeapSize, pages(img.Heap))
		ae.Uint32(abi.AttrSpaTickUs, img.TickUS)
		ae.Uint64(abi.AttrSpaEntry, img.Entry)
		ae.Uint64(abi.AttrSpaImageSize, img.MemorySize())
		for _, s := range img.Segments {
			ae.Nested(abi.AttrSpaSegment, func(nae *netlink.AttributeEncoder) error {
				nae.Uint64(abi.AttrSegmentOffset, s.Offset)
				nae.Uint64(abi.AttrSegmentSize, s.Size)
				nae.Uint32(abi.AttrSegmentProt, protBits(s.Prot))
				return nil
			})
		}
		for _, p := range img.Params {
			ae.Nested(abi.AttrSpaParam, func(nae *netlink.AttributeEncoder) error {
				nae.String(abi.AttrParamName, p.Name)
				nae.Uint32(abi.AttrParamType, p.Type)
				nae.Uint64(abi.AttrParamValue, p.Default)
				nae.String(abi.AttrParamHelp, p.Help)
				return nil
			})
		}
		for _, name := range img.Counters {
			ae.String(abi.AttrSpaCounterName, name)
		}
	})
	if err != nil {
		return 0, 0, err
	}
	err = decode(b, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case abi.AttrSpaID:
			id = ad.Uint32()
		case abi.AttrSpaBase:
			base = ad.Uint64()
		}
	})
	if err == nil && (id == 0 || base < shm.RegionBase) {
		err = errShort
	}
	return id, base, err
}

// protBits translates a protection of an ELF file to the family's.
func protBits(p uint32) (out uint32) {
	for from, to := range map[uint32]abi.SegmentProt{
		spaelf.Read: abi.SegmentProtRead, spaelf.Write: abi.SegmentProtWrite, spaelf.Exec: abi.SegmentProtExec,
	} {
		if p&from != 0 {
			out |= uint32(to)
		}
	}
	return out
}

// pages rounds up to the page size.
func pages(n uint64) uint64 { return (n + 4095) &^ 4095 }

// write sends the relocated image in pieces.
func (c *Client) write(id uint32, segments []spaelf.Segment) error {
	for _, s := range segments {
		for at := 0; at < len(s.Data); at += abi.WriteMax {
			piece := s.Data[at:min(at+abi.WriteMax, len(s.Data))]
			err := c.change(abi.CmdSpaWrite, func(ae *netlink.AttributeEncoder) {
				ae.Uint32(abi.AttrSpaID, id)
				ae.Uint64(abi.AttrSpaOffset, s.Offset+uint64(at))
				ae.Bytes(abi.AttrSpaData, piece)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// discardIfThere gives up a load; one that is gone, or has gone live, is left.
func (c *Client) discardIfThere(id uint32) error {
	err := c.change(abi.CmdSpaDiscard, func(ae *netlink.AttributeEncoder) { ae.Uint32(abi.AttrSpaID, id) })
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return wrap("discard", fmt.Sprint("SPA ", id), err)
}

func (c *Client) del(id uint32) error {
	return c.change(abi.CmdSpaDel, func(ae *netlink.AttributeEncoder) { ae.Uint32(abi.AttrSpaID, id) })
}

// placing is what a commit needs to know beside the image.
type placing struct {
	port    bool
	xsk     int
	ifindex int
	queue   int
	budget  time.Duration // 0: the module's default
	reserve *Reserve      // nil: the module's default, or what is inherited
	replace uint32        // id of the SPA whose port is taken over
	control [][]byte      // messages for the SPA between INIT and its first frame
}

func (c *Client) commit(id uint32, p placing) error {
	_, err := c.ask(abi.CmdSpaCommit, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrSpaID, id)
		if p.port {
			ae.Uint32(abi.AttrSpaXskFD, uint32(p.xsk))
			ae.Uint32(abi.AttrSpaIfindex, uint32(p.ifindex))
			ae.Uint32(abi.AttrSpaQueue, uint32(p.queue))
		}
		if p.budget != 0 {
			ae.Uint64(abi.AttrSpaBudgetNs, uint64(p.budget))
		}
		if p.reserve != nil {
			ae.Uint64(abi.AttrSpaRuntimeNs, uint64(p.reserve.Runtime))
			ae.Uint64(abi.AttrSpaPeriodNs, uint64(p.reserve.Period))
		}
		if p.replace != 0 {
			ae.Uint32(abi.AttrSpaReplaceID, p.replace)
		}
		for _, msg := range p.control {
			ae.Bytes(abi.AttrSpaControl, msg)
		}
	})
	return err
}

// control hands a message to a live SPA.
func (c *Client) control(id uint32, msg []byte) error {
	_, err := c.ask(abi.CmdSpaControl, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrSpaID, id)
		ae.Bytes(abi.AttrSpaData, msg)
	})
	return err
}

// Limits of an SPA that can be changed while it runs; a nil field stays.
type Limits struct {
	Budget  *time.Duration
	Reserve *Reserve // the zero Reserve ends a reservation
}

// SetLimits changes budget and reservation of a live SPA.
func (c *Client) SetLimits(s *SPA, l Limits) error {
	err := c.change(abi.CmdSpaSet, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrSpaID, s.ID)
		if l.Budget != nil {
			ae.Uint64(abi.AttrSpaBudgetNs, uint64(*l.Budget))
		}
		if l.Reserve != nil {
			ae.Uint64(abi.AttrSpaRuntimeNs, uint64(l.Reserve.Runtime))
			ae.Uint64(abi.AttrSpaPeriodNs, uint64(l.Reserve.Period))
		}
	})
	return noRoom(wrap("set", s.Name, err))
}

// SetParam sets a parameter of a live SPA; text is in the notation of its type.
func (c *Client) SetParam(s *SPA, name, text string) error {
	for i, p := range s.Params {
		if p.Name != name {
			continue
		}
		v, err := parseParam(p.typ, text)
		if err != nil {
			return errorf("set", s.Name, ErrInvalid, "parameter %s: %v", name, err)
		}
		return wrap("set", s.Name, c.control(s.ID, paramMessage(i, v)))
	}
	return noParam(s.Name, name, paramNames(s.Params))
}

func paramMessage(index int, v uint64) []byte {
	m := shm.MsgParam{Hdr: shm.Msg{Type: shm.MsgTypeParam}, Index: uint32(index), Value: v}
	return encodeMessage(&m, &m.Hdr)
}

func noParam(object, name string, have []string) error {
	e := errorf("set", object, ErrInvalid, "it has no parameter %q", name)
	if len(have) == 0 {
		return e.hint("it has no parameters at all")
	}
	return e.hint("it has: %s", strings.Join(have, ", "))
}

func paramNames(ps []Param) (names []string) {
	for _, p := range ps {
		names = append(names, p.Name)
	}
	return names
}

// ParseReserve reads RUNTIME/PERIOD, for example "300us/1ms"; "none" ends a
// reservation.
func ParseReserve(text string) (r Reserve, err error) {
	if text == "none" {
		return Reserve{}, nil
	}
	a, b, _ := strings.Cut(text, "/")
	if r.Runtime, err = time.ParseDuration(a); err == nil {
		r.Period, err = time.ParseDuration(b)
	}
	if err != nil || r.Runtime <= 0 || r.Period < r.Runtime {
		return Reserve{}, errorf("reservation", fmt.Sprintf("%q", text), ErrInvalid,
			"not RUNTIME/PERIOD with 0 < RUNTIME <= PERIOD").hint("for example 300us/1ms, or none")
	}
	return r, nil
}

func (r Reserve) String() string {
	if r == (Reserve{}) {
		return "none"
	}
	return r.Runtime.String() + "/" + r.Period.String()
}
