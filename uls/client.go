// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"bytes"
	"errors"
	"os"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sandstream/uls/internal/abi"
)

// Client talks to the module. It is safe for concurrent use.
//
// An SPA that is being loaded belongs to the Client that began it: closing the
// Client undoes it.
type Client struct {
	c      *genetlink.Conn
	family genetlink.Family
}

// New connects to the module. An error that is ErrNotSupported says whether the
// kernel lacks the patches or only the module is not loaded.
func New() (*Client, error) {
	c, err := genetlink.Dial(&netlink.Config{Strict: true})
	if err != nil {
		return nil, wrap("open", "generic netlink", err)
	}
	return newClient(c)
}

func newClient(c *genetlink.Conn) (*Client, error) {
	f, err := c.GetFamily(abi.FamilyName)
	if err != nil {
		c.Close()
		if errors.Is(err, os.ErrNotExist) {
			return nil, missing()
		}
		return nil, wrap("look up", "netlink family "+abi.FamilyName, err)
	}
	if f.Version != abi.FamilyVersion {
		c.Close()
		return nil, errorf("open", "netlink family "+abi.FamilyName, ErrNotSupported,
			"the module speaks version %d, this program version %d", f.Version, abi.FamilyVersion).
			hint("load the module that was built with this program")
	}
	return &Client{c: c, family: f}, nil
}

// missing tells a kernel without the patches from one whose module is not
// loaded: the patches show in the kernel's list of symbols.
func missing() error {
	var u unix.Utsname
	release := "unknown"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	symbols, err := os.ReadFile("/proc/kallsyms")
	e := &Error{Op: "user-level sandboxing", Err: ErrNotSupported}
	if err == nil && bytes.Contains(symbols, []byte(" uls_upcall\n")) {
		e.Text = "the kernel has it, but its module is not loaded"
		e.Hint = "load it: modprobe uls"
		return e
	}
	e.Text = "this kernel (" + release + ") does not have it"
	e.Hint = "boot a kernel with the patches: 'make kernel' builds one, 'make shell' boots it in a virtual machine"
	return e
}

// Close ends the connection.
func (c *Client) Close() error { return c.c.Close() }

// attrs encodes one level of attributes.
type attrs func(ae *netlink.AttributeEncoder)

// execute sends a command and returns the replies' attributes, one message each.
func (c *Client) execute(cmd uint8, flags netlink.HeaderFlags, fill attrs) ([][]byte, error) {
	ae := netlink.NewAttributeEncoder()
	if fill != nil {
		fill(ae)
	}
	data, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	msgs, err := c.c.Execute(genetlink.Message{
		Header: genetlink.Header{Command: cmd, Version: abi.FamilyVersion},
		Data:   data,
	}, c.family.ID, netlink.Request|flags)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(msgs))
	for i, m := range msgs {
		out[i] = m.Data
	}
	return out, nil
}

// change sends a command that has no reply but its acknowledgement. One that has
// a reply must not ask for both: the second message would be left in the socket,
// and taken for the answer to the next request.
func (c *Client) change(cmd uint8, fill attrs) error {
	_, err := c.execute(cmd, netlink.Acknowledge, fill)
	return err
}

// errShort is a reply that lacks what the specification promises.
var errShort = errors.New("the module's reply is incomplete: is it of another version?")

// ask sends a command with exactly one reply.
func (c *Client) ask(cmd uint8, fill attrs) ([]byte, error) {
	msgs, err := c.execute(cmd, 0, fill)
	if err != nil {
		return nil, err
	}
	if len(msgs) != 1 {
		return nil, errShort
	}
	return msgs[0], nil
}

// decode walks the attributes of one message.
func decode(b []byte, each func(ad *netlink.AttributeDecoder)) error {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	for ad.Next() {
		each(ad)
	}
	return ad.Err()
}
