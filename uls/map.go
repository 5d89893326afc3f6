// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf"
	"sandstream/internal/host/steer"
	"sandstream/internal/host/xsk"
)

// MapOptions says what to map, and where.
type MapOptions struct {
	File   string // the SPA, an ELF file
	Name   string // empty: the one in its manifest
	Device string // empty: without a port
	Queue  int

	Flows   []Flow
	Params  map[string]string // by name, in the notation of their types
	Budget  time.Duration     // CPU time of an upcall; 0: the module's default
	Reserve *Reserve          // nil: a tenth of a CPU if there is room; the zero Reserve: none

	Frames int // in the UMEM; 0: xsk.DefaultConfig
}

// undo is a list of steps that take back what was done, last first.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

// run takes everything back; what fails in doing so is added to the error.
func (u *undo) run(err error) error {
	for _, f := range slices.Backward(*u) {
		if e := f(); e != nil {
			err = fmt.Errorf("%w; taking it back: %w", err, e)
		}
	}
	*u = nil
	return err
}

// mapping is one Map in progress.
type mapping struct {
	c    *Client
	o    MapOptions
	img  *spaelf.Image
	ifi  *net.Interface // nil without a port
	id   uint32
	dev  *steer.Device
	sock *xsk.Socket
	undo undo
}

// Map loads the SPA and puts it in front of the device. On error nothing is left
// behind: no slice, no socket, no XDP program, no flow.
//
// Traffic is steered last, when the SPA is live and knows its parameters and
// flows. Loading comes before the device is touched: attaching XDP resets a NIC.
func (c *Client) Map(o MapOptions) (*SPA, error) {
	m := &mapping{c: c, o: o}
	for _, step := range []func() error{m.check, m.load} {
		if err := step(); err != nil {
			return nil, m.undo.run(err)
		}
	}
	if m.ifi != nil {
		unlock, err := steer.Lock()
		if err != nil {
			return nil, m.undo.run(m.explain(err))
		}
		defer unlock()
		if err := m.openPort(); err != nil {
			return nil, m.undo.run(err)
		}
		// The module holds the socket from here on, and pins hold the rest.
		defer m.sock.Close()
		defer m.dev.Close()
	}
	for _, step := range []func() error{m.golive, m.steer} {
		if err := step(); err != nil {
			return nil, m.undo.run(err)
		}
	}
	return c.SPA(m.id)
}

// check does all that can be done without changing anything.
func (m *mapping) check() (err error) {
	info, err := m.c.Info()
	if err != nil {
		return err
	}
	if err := info.Usable(); err != nil {
		return err
	}
	if m.img, err = spaelf.Open(m.o.File); err != nil {
		return openError(err)
	}
	if m.o.Name == "" {
		m.o.Name = m.img.Name
	}
	if !spaelf.ValidName(m.o.Name) {
		return errorf("map", fmt.Sprintf("%q", m.o.Name), ErrInvalid, "not a proper name").
			hint("letters, digits, '.', '_', '-'; at most 31")
	}
	if err := m.c.nameFree(m.o.Name); err != nil {
		return err
	}
	if _, err := paramMessages(m.img, m.o.Params); err != nil {
		return err
	}
	return m.checkDevice()
}

func (m *mapping) checkDevice() (err error) {
	if m.o.Device == "" {
		if len(m.o.Flows) > 0 {
			return errorf("map", m.o.Name, ErrInvalid, "flows need a device")
		}
		if m.o.Reserve != nil && *m.o.Reserve != (Reserve{}) {
			return errorf("map", m.o.Name, ErrInvalid, "a reservation needs a device")
		}
		return nil
	}
	if m.ifi, err = device("map", m.o.Device); err != nil {
		return err
	}
	if can, known := zeroCopy(m.ifi.Index); known && !can {
		return noZeroCopy("map", m.ifi)
	}
	if m.ifi.Flags&net.FlagUp == 0 {
		return errorf("map", m.ifi.Name, ErrInvalid, "the device is down").hint("ip link set %s up", m.ifi.Name)
	}
	for i := range m.o.Flows {
		if err := m.o.Flows[i].resolve("map", m.ifi.Name); err != nil {
			return err
		}
	}
	return m.c.queueFree(m.ifi, m.o.Queue)
}

func openError(err error) error {
	var bad *spaelf.Error
	if errors.As(err, &bad) {
		return &Error{Op: "SPA", Object: bad.File, Text: bad.Reason, Err: ErrInvalid}
	}
	return fmt.Errorf("SPA: %w", err)
}

func (c *Client) nameFree(name string) error {
	s, err := c.SPAByName(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	e := errorf("map", name, os.ErrExist, "the name is in use (%s)", s.State)
	if s.State == StateAborted {
		return e.hint("drop the record first: ulsctl unmap %s", name)
	}
	return e.hint("give another one with --name, or exchange it: ulsctl replace %s FILE", name)
}

func (c *Client) queueFree(ifi *net.Interface, queue int) error {
	spas, err := c.SPAs()
	if err != nil {
		return err
	}
	for _, s := range spas {
		if s.State == StateLive && int(s.Ifindex) == ifi.Index && int(s.Queue) == queue {
			return errorf("map", fmt.Sprintf("%s queue %d", ifi.Name, queue), ErrBusy, "it is the port of SPA %s", s.Name).
				hint("ulsctl unmap %[1]s, or ulsctl replace %[1]s FILE", s.Name)
		}
	}
	return nil
}

// load sends the image; the SPA is half made and has no port.
func (m *mapping) load() error {
	id, base, err := m.c.begin(m.img, m.o.Name)
	if err != nil {
		return wrap("map", m.o.Name, err)
	}
	m.id = id
	m.undo.add(func() error { return m.c.discardIfThere(id) })
	return wrap("map", m.o.Name, m.c.write(id, m.img.Relocate(base)))
}

// openPort attaches the XDP program, if none of ours is there, and binds a socket
// to the queue.
func (m *mapping) openPort() error {
	dev, created, err := steer.Attach(m.ifi)
	if err != nil {
		return m.explain(err)
	}
	m.dev = dev
	if created {
		m.undo.add(dev.Detach)
	} else {
		m.undo.add(dev.Close)
		// The rest of an SPA that was aborted here: its flows are not ours.
		if err := dev.ClearFlows(m.o.Queue); err != nil {
			return m.explain(err)
		}
	}
	if m.sock, err = xsk.New(xsk.Config{Frames: m.o.Frames}); err != nil {
		return m.explain(err)
	}
	m.undo.add(m.sock.Close)
	if err := m.sock.Bind(m.ifi.Index, m.o.Queue); err != nil {
		return m.explain(err)
	}
	return nil
}

func (m *mapping) explain(err error) error { return explainPort("map", m.ifi, m.o.Queue, err) }

// golive hands everything to the kernel in one step; if it refuses, or the SPA
// does, it has undone the load.
func (m *mapping) golive() error {
	msgs, err := paramMessages(m.img, m.o.Params)
	if err != nil {
		return err
	}
	p := placing{
		budget:  m.o.Budget,
		control: append(msgs, flowMessages(m.o.Flows)...),
	}
	if m.ifi != nil {
		p.port, p.xsk, p.ifindex, p.queue, p.reserve = true, m.sock.FD(), m.ifi.Index, m.o.Queue, m.o.Reserve
	}
	if err := m.c.commit(m.id, p); err != nil {
		return noRoom(wrap("map", m.o.Name, err))
	}
	id := m.id
	m.undo.add(func() error { return wrap("unmap", m.o.Name, m.c.del(id)) })
	return nil
}

// steer lets traffic in. The socket comes last: until then all frames pass.
func (m *mapping) steer() error {
	if m.ifi == nil {
		return nil
	}
	m.undo.add(func() error { return m.dev.ClearFlows(m.o.Queue) })
	for _, f := range m.o.Flows {
		if err := m.dev.AddFlow(m.o.Queue, f.match(), f.note()); err != nil {
			return m.explain(err)
		}
	}
	if err := m.dev.SetSocket(m.o.Queue, m.sock.FD()); err != nil {
		return m.explain(err)
	}
	return nil
}

// paramMessages encodes assignments, ordered by parameter, and refuses names and
// values that do not fit the SPA.
func paramMessages(img *spaelf.Image, params map[string]string) (msgs [][]byte, err error) {
	for name := range params {
		if _, _, ok := img.Param(name); !ok {
			var have []string
			for _, p := range img.Params {
				have = append(have, p.Name)
			}
			return nil, noParam(img.Name, name, have)
		}
	}
	for i, p := range img.Params {
		text, ok := params[p.Name]
		if !ok {
			continue
		}
		v, err := parseParam(p.Type, text)
		if err != nil {
			return nil, errorf("set", img.Name, ErrInvalid, "parameter %s: %v", p.Name, err)
		}
		msgs = append(msgs, paramMessage(i, v))
	}
	return msgs, nil
}

func flowMessages(flows []Flow) (msgs [][]byte) {
	for _, f := range flows {
		if f.Forward {
			msgs = append(msgs, f.message(shm.MsgTypeFlowAdd))
		}
	}
	return msgs
}
