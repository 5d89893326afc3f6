// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"github.com/mdlayher/netlink"

	"sandstream/uls/internal/abi"
)

// LogChunk is a piece of an SPA's log.
type LogChunk struct {
	Data []byte // as the SPA wrote it: not trusted
	Next uint64 // cursor to go on with
	Lost uint64 // bytes overwritten before they could be read
}

// Log reads an SPA's log from a cursor on (0: from the oldest byte there is); an
// empty Data means that there is no more for now. The SPA is not stopped.
func (c *Client) Log(spa *SPA, cursor uint64) (LogChunk, error) {
	b, err := c.ask(abi.CmdLogGet, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrLogID, spa.ID)
		ae.Uint64(abi.AttrLogCursor, cursor)
	})
	if err != nil {
		return LogChunk{}, wrap("read the log of", spa.Name, err)
	}
	chunk := LogChunk{Next: cursor}
	err = decode(b, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case abi.AttrLogData:
			chunk.Data = ad.Bytes()
		case abi.AttrLogCursor:
			chunk.Next = ad.Uint64()
		case abi.AttrLogLost:
			chunk.Lost = ad.Uint64()
		}
	})
	return chunk, wrap("read the log of", spa.Name, err)
}
