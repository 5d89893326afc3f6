// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"encoding/binary"
	"net"

	"github.com/mdlayher/netlink"

	"sandstream/internal/host/shm"
	"sandstream/uls/internal/abi"
)

// KforwardOptions configures the kernel-thread forwarder, which exists to be
// compared with.
type KforwardOptions struct {
	Device   string
	Out      string // empty: Device
	Flows    []Flow // forwarding ones
	Priority uint32 // SCHED_FIFO priority of the thread; 0: an ordinary thread
	QueueLen uint32 // frames that may wait for the thread; 0: the module's default
	CPU      *uint32
}

// Kforward is a running kernel-thread forwarder.
type Kforward struct {
	Device     string  `json:"device"`
	Ifindex    uint32  `json:"ifindex"`
	Out        string  `json:"out"`
	OutIfindex uint32  `json:"out_ifindex"`
	Priority   uint32  `json:"priority"`
	QueueLen   uint32  `json:"queue_len"`
	CPU        *uint32 `json:"cpu,omitempty"` // nil: not bound
	PID        uint32  `json:"pid"`
	Flows      []Flow  `json:"flows"`
	RXFrames   uint64  `json:"rx_frames"`
	TXFrames   uint64  `json:"tx_frames"`
	QueueDrops uint64  `json:"queue_drops"`
	TTLDrops   uint64  `json:"ttl_drops"`
	TXDrops    uint64  `json:"tx_drops"`
	Copied     uint64  `json:"copied"` // frames whose headers had to be made writable first
}

// KforwardStart starts the forwarder.
func (c *Client) KforwardStart(o KforwardOptions) error {
	in, err := device("kforward start", o.Device)
	if err != nil {
		return err
	}
	out := in
	if o.Out != "" {
		if out, err = device("kforward start", o.Out); err != nil {
			return err
		}
	}
	for i := range o.Flows {
		if !o.Flows[i].Forward {
			return errorf("kforward start", o.Flows[i].String(), ErrInvalid, "it does not say where to").hint("add '-> ADDRESS:PORT'")
		}
		if err := o.Flows[i].resolve("kforward start", out.Name); err != nil {
			return err
		}
	}
	_, err = c.ask(abi.CmdKforwardStart, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrKforwardIfindex, uint32(in.Index))
		if out != in {
			ae.Uint32(abi.AttrKforwardOutIfindex, uint32(out.Index))
		}
		for _, m := range flowMessages(o.Flows) {
			ae.Bytes(abi.AttrKforwardFlow, m)
		}
		if o.Priority != 0 {
			ae.Uint32(abi.AttrKforwardPriority, o.Priority)
		}
		if o.QueueLen != 0 {
			ae.Uint32(abi.AttrKforwardQueueLen, o.QueueLen)
		}
		if o.CPU != nil {
			ae.Uint32(abi.AttrKforwardCPU, *o.CPU)
		}
	})
	return wrap("kforward start", o.Device, err)
}

// KforwardStop stops it.
func (c *Client) KforwardStop(dev string) error {
	ifi, err := device("kforward stop", dev)
	if err != nil {
		return err
	}
	return wrap("kforward stop", dev, c.change(abi.CmdKforwardStop, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrKforwardIfindex, uint32(ifi.Index))
	}))
}

// Kforwards lists the forwarders.
func (c *Client) Kforwards() ([]*Kforward, error) {
	msgs, err := c.execute(abi.CmdKforwardGet, netlink.Dump, nil)
	if err != nil {
		return nil, wrap("list", "kernel-thread forwarders", err)
	}
	out := make([]*Kforward, 0, len(msgs))
	for _, b := range msgs {
		k, err := decodeKforward(b)
		if err != nil {
			return nil, wrap("list", "kernel-thread forwarders", err)
		}
		out = append(out, k)
	}
	return out, nil
}

func decodeKforward(b []byte) (*Kforward, error) {
	k := &Kforward{Flows: []Flow{}}
	u32 := map[uint16]*uint32{
		abi.AttrKforwardIfindex: &k.Ifindex, abi.AttrKforwardOutIfindex: &k.OutIfindex,
		abi.AttrKforwardPriority: &k.Priority, abi.AttrKforwardQueueLen: &k.QueueLen, abi.AttrKforwardPID: &k.PID,
	}
	u64 := map[uint16]*uint64{
		abi.AttrKforwardRxFrames: &k.RXFrames, abi.AttrKforwardTxFrames: &k.TXFrames,
		abi.AttrKforwardQueueDrops: &k.QueueDrops, abi.AttrKforwardTTLDrops: &k.TTLDrops,
		abi.AttrKforwardTxDrops: &k.TXDrops, abi.AttrKforwardCopied: &k.Copied,
	}
	err := decode(b, func(ad *netlink.AttributeDecoder) {
		t := ad.Type()
		switch {
		case t == abi.AttrKforwardFlow:
			var m shm.MsgFlow
			if _, err := binary.Decode(ad.Bytes(), binary.LittleEndian, &m); err == nil {
				k.Flows = append(k.Flows, fromMessage(m))
			}
		case t == abi.AttrKforwardCPU:
			cpu := ad.Uint32()
			k.CPU = &cpu
		case u32[t] != nil:
			*u32[t] = ad.Uint32()
		case u64[t] != nil:
			*u64[t] = ad.Uint64()
		}
	})
	if err == nil && k.Ifindex == 0 {
		err = errShort
	}
	if k.OutIfindex == 0 {
		k.OutIfindex = k.Ifindex
	}
	k.Device, k.Out = deviceName(k.Ifindex), deviceName(k.OutIfindex)
	return k, err
}

// deviceName returns the name of a device of this network namespace, or nothing.
func deviceName(ifindex uint32) string {
	ifi, err := net.InterfaceByIndex(int(ifindex))
	if err != nil {
		return ""
	}
	return ifi.Name
}
