// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"io/fs"
	"net"
	"time"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf"
	"sandstream/internal/host/steer"
)

// Unmap takes an SPA away: its traffic goes back to the kernel's stack, then it
// may finish (FINI), then it is gone, and the XDP program too unless another SPA
// needs it. Of an aborted SPA it drops the record.
func (c *Client) Unmap(name string) error {
	s, err := c.SPAByName(name)
	if err != nil {
		return err
	}
	ifi, ours, last, err := c.portOf(s)
	if err != nil {
		return err
	}
	if !ours {
		return wrap("unmap", name, c.del(s.ID))
	}
	unlock, err := steer.Lock()
	if err != nil {
		return explainPort("unmap", ifi, int(s.Queue), err)
	}
	defer unlock()
	dev, err := steer.Load(ifi)
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody took the XDP program off
		return wrap("unmap", name, c.del(s.ID))
	case err != nil:
		return explainPort("unmap", ifi, int(s.Queue), err)
	}
	err = errors.Join(dev.ClearSocket(int(s.Queue)), dev.ClearFlows(int(s.Queue)))
	if err != nil {
		dev.Close()
		return explainPort("unmap", ifi, int(s.Queue), err)
	}
	if err := c.del(s.ID); err != nil {
		dev.Close()
		return wrap("unmap", name, err)
	}
	if last {
		err = dev.Detach()
	} else {
		err = dev.Close()
	}
	if err != nil {
		return explainPort("unmap", ifi, int(s.Queue), err)
	}
	return nil
}

// portOf finds the device of an SPA. ours is false if there is none here to be
// cleaned up: no port, a device of another network namespace, or a queue that
// another SPA serves by now. last tells that no other SPA is on the device.
func (c *Client) portOf(s *SPA) (ifi *net.Interface, ours, last bool, err error) {
	if s.Ifindex == 0 {
		return nil, false, false, nil
	}
	if ifi, err = net.InterfaceByIndex(int(s.Ifindex)); err != nil {
		return nil, false, false, nil
	}
	all, err := c.SPAs()
	if err != nil {
		return nil, false, false, err
	}
	last = true
	for _, o := range all {
		if o.ID == s.ID || o.Ifindex != s.Ifindex || o.State != StateLive {
			continue
		}
		if o.Queue == s.Queue {
			return ifi, false, false, nil
		}
		last = false
	}
	return ifi, true, last, nil
}

// Flows lists what is steered to the SPA. It needs the privileges to read BPF
// maps.
func (c *Client) Flows(s *SPA) ([]Flow, error) {
	ifi, ours, _, err := c.portOf(s)
	if err != nil || !ours {
		return nil, err
	}
	dev, err := steer.Load(ifi)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, explainPort("list flows of", ifi, int(s.Queue), err)
	}
	defer dev.Close()
	entries, err := dev.Flows(int(s.Queue))
	if err != nil {
		return nil, explainPort("list flows of", ifi, int(s.Queue), err)
	}
	flows := make([]Flow, len(entries))
	for i, e := range entries {
		flows[i] = flowOf(e)
	}
	return flows, nil
}

// withSteering runs f with the steering of a live SPA's device, locked.
func (c *Client) withSteering(op string, s *SPA, f func(dev *steer.Device, ifi *net.Interface) error) error {
	if s.State != StateLive {
		return errorf(op, s.Name, ErrInvalid, "the SPA is %s", s.State)
	}
	ifi, ours, _, err := c.portOf(s)
	if err != nil {
		return err
	}
	if !ours {
		return errorf(op, s.Name, ErrInvalid, "the SPA has no device in this network namespace")
	}
	unlock, err := steer.Lock()
	if err != nil {
		return explainPort(op, ifi, int(s.Queue), err)
	}
	defer unlock()
	dev, err := steer.Load(ifi)
	if err != nil {
		return explainPort(op, ifi, int(s.Queue), err)
	}
	defer dev.Close()
	return f(dev, ifi)
}

// AddFlow steers one more flow to a live SPA, and tells it if the flow is a
// forwarding one; nothing is changed if either fails.
func (c *Client) AddFlow(s *SPA, f Flow) error {
	return c.withSteering("flow add", s, func(dev *steer.Device, ifi *net.Interface) error {
		if err := f.resolve("flow add", ifi.Name); err != nil {
			return err
		}
		if err := dev.AddFlow(int(s.Queue), f.match(), f.note()); err != nil {
			return wrap("flow add", s.Name, err)
		}
		if !f.Forward {
			return nil
		}
		if err := c.control(s.ID, f.message(shm.MsgTypeFlowAdd)); err != nil {
			return wrap("flow add", s.Name, errors.Join(err, dev.DelFlow(int(s.Queue), f.match())))
		}
		return nil
	})
}

// DelFlow ends a flow; only its match counts. The frames pass to the kernel's
// stack before the SPA forgets them.
func (c *Client) DelFlow(s *SPA, f Flow) error {
	return c.withSteering("flow del", s, func(dev *steer.Device, _ *net.Interface) error {
		entries, err := dev.Flows(int(s.Queue))
		if err != nil {
			return wrap("flow del", s.Name, err)
		}
		if err := dev.DelFlow(int(s.Queue), f.match()); err != nil {
			return wrap("flow del", s.Name, err)
		}
		for _, e := range entries {
			if have := flowOf(e); e.Match == f.match() && have.Forward {
				return wrap("flow del", s.Name, c.control(s.ID, have.message(shm.MsgTypeFlowDel)))
			}
		}
		return nil
	})
}

// ReplaceOptions says what takes the place of a running SPA.
type ReplaceOptions struct {
	File    string            // the new SPA
	Params  map[string]string // besides those carried over
	Budget  time.Duration     // 0: the old one's
	Reserve *Reserve          // nil: the old one's
}

// Replace exchanges the code of a live SPA under traffic. Device, queue, frames,
// name and flows stay, and so does the value of each parameter that the new SPA
// has too, by name and type. If the new one fails in INIT the old one goes on.
func (c *Client) Replace(name string, o ReplaceOptions) (*SPA, error) {
	old, err := c.SPAByName(name)
	if err != nil {
		return nil, err
	}
	if old.State != StateLive {
		return nil, errorf("replace", name, ErrInvalid, "the SPA is %s", old.State).
			hint("ulsctl unmap %s, then map the new one", name)
	}
	img, err := spaelf.Open(o.File)
	if err != nil {
		return nil, openError(err)
	}
	msgs, err := paramMessages(img, carryParams(old, img, o.Params))
	if err != nil {
		return nil, err
	}
	flows, err := c.Flows(old)
	if err != nil {
		return nil, err
	}
	p := placing{
		budget:  o.Budget,
		replace: old.ID,
		control: append(msgs, flowMessages(flows)...),
	}
	if p.budget == 0 {
		p.budget = time.Duration(old.BudgetNS)
	}
	id, base, err := c.begin(img, name)
	if err != nil {
		return nil, wrap("replace", name, err)
	}
	if err = c.write(id, img.Relocate(base)); err == nil {
		err = c.exchange(old, id, p, o.Reserve)
	}
	if err != nil {
		return nil, errors.Join(wrap("replace", name, err), c.discardIfThere(id))
	}
	return c.SPA(id)
}

// exchange commits the SPA id, which replaces the old one and inherits the port's
// reservation. A larger budget may not fit into that until it has been changed.
func (c *Client) exchange(old *SPA, id uint32, p placing, reserve *Reserve) error {
	if reserve == nil {
		return c.commit(id, p)
	}
	if old.RuntimeNS == 0 || uint64(p.budget) <= old.RuntimeNS {
		if err := c.commit(id, p); err != nil {
			return err
		}
		return c.SetLimits(&SPA{ID: id, Name: old.Name}, Limits{Reserve: reserve})
	}
	if err := c.SetLimits(old, Limits{Reserve: reserve}); err != nil {
		return err
	}
	err := c.commit(id, p)
	if err != nil {
		was := old.Reserve()
		err = errors.Join(err, c.SetLimits(old, Limits{Reserve: &was}))
	}
	return err
}

// carryParams adds to the assignments asked for the values of the old SPA.
func carryParams(old *SPA, img *spaelf.Image, asked map[string]string) map[string]string {
	out := map[string]string{}
	for _, p := range old.Params {
		if _, n, ok := img.Param(p.Name); ok && n.Type == p.typ {
			out[p.Name] = p.Value
		}
	}
	for name, v := range asked {
		out[name] = v
	}
	return out
}
