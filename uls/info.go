// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"github.com/mdlayher/netlink"

	"sandstream/uls/internal/abi"
)

// Info is what module and machine can do.
type Info struct {
	Version     uint32 `json:"version"` // of the netlink family
	ABI         uint32 `json:"abi"`     // of the interface to SPAs
	Release     string `json:"release"` // of the module
	Supported   bool   `json:"supported"`
	Reason      string `json:"reason,omitempty"` // why not
	Slices      uint32 `json:"slices"`           // the most SPAs there can be
	SlicesUsed  uint32 `json:"slices_used"`
	CPUs        uint32 `json:"cpus"`
	BudgetNS    uint64 `json:"budget_default_ns"` // of an upcall, unless asked for
	BudgetMaxNS uint64 `json:"budget_max_ns"`
	ImageMax    uint64 `json:"image_max"` // bytes; so are the following
	HeapMax     uint64 `json:"heap_max"`
	StackMax    uint32 `json:"stack_max"`
	UmemMax     uint64 `json:"umem_max"`
	Memory      Memory `json:"memory"`
}

// Memory is what the module holds for SPAs, records of aborted ones and loads in
// progress, counted as it is taken and given back: the zero value if there are
// none. Page tables are not in it, they go with the slices in use.
type Memory struct {
	Pages       uint64 `json:"pages"`       // of 4096 bytes; a socket's frames and rings are not the module's
	Allocations uint64 `json:"allocations"` // other pieces of the kernel's memory, such as records
	Sockets     uint64 `json:"sockets"`     // AF_XDP sockets
}

// Info asks the module.
func (c *Client) Info() (*Info, error) {
	b, err := c.ask(abi.CmdInfo, nil)
	if err != nil {
		return nil, wrap("ask", "the uls module", err)
	}
	var i Info
	err = decode(b, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case abi.AttrInfoVersion:
			i.Version = ad.Uint32()
		case abi.AttrInfoABI:
			i.ABI = ad.Uint32()
		case abi.AttrInfoRelease:
			i.Release = ad.String()
		case abi.AttrInfoKernelSupported:
			i.Supported = true
		case abi.AttrInfoUnsupportedReason:
			i.Reason = ad.String()
		case abi.AttrInfoSlices:
			i.Slices = ad.Uint32()
		case abi.AttrInfoSlicesUsed:
			i.SlicesUsed = ad.Uint32()
		case abi.AttrInfoCpus:
			i.CPUs = ad.Uint32()
		case abi.AttrInfoBudgetDefaultNs:
			i.BudgetNS = ad.Uint64()
		case abi.AttrInfoBudgetMaxNs:
			i.BudgetMaxNS = ad.Uint64()
		case abi.AttrInfoImageMax:
			i.ImageMax = ad.Uint64()
		case abi.AttrInfoHeapMax:
			i.HeapMax = ad.Uint64()
		case abi.AttrInfoStackMax:
			i.StackMax = ad.Uint32()
		case abi.AttrInfoUmemMax:
			i.UmemMax = ad.Uint64()
		case abi.AttrInfoMemory:
			ad.Nested(i.Memory.decode)
		}
	})
	return &i, wrap("ask", "the uls module", err)
}

func (m *Memory) decode(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case abi.AttrMemoryPages:
			m.Pages = ad.Uint64()
		case abi.AttrMemoryAllocations:
			m.Allocations = ad.Uint64()
		case abi.AttrMemorySockets:
			m.Sockets = ad.Uint64()
		}
	}
	return ad.Err()
}

// Usable returns nil if SPAs can run here, otherwise an ErrNotSupported that
// says why not.
func (i *Info) Usable() error {
	switch {
	case !i.Supported:
		return errorf("user-level sandboxing", "", ErrNotSupported, "this machine cannot do it: %s", i.Reason)
	case i.ABI != abi.ABIVersion:
		return errorf("user-level sandboxing", "", ErrNotSupported,
			"the module has version %d of the interface to SPAs, this program version %d", i.ABI, abi.ABIVersion).
			hint("load the module that was built with this program")
	}
	return nil
}
