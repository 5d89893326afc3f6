// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Root is where bpffs is mounted; Dir holds one folder for each device.
const (
	Root = "/sys/fs/bpf"
	Dir  = Root + "/uls"
)

// Match selects the UDP frames that go to a socket. The zero address and port 0
// stand for any.
type Match struct {
	DstIP   netip.Addr // IPv4, or invalid for any
	DstPort uint16     // 0 for any
}

func (m Match) String() string {
	ip, port := "*", "*"
	if m.DstIP.IsValid() {
		ip = m.DstIP.String()
	}
	if m.DstPort != 0 {
		port = fmt.Sprint(m.DstPort)
	}
	return ip + ":" + port
}

// key is what the program looks up: address and port in network byte order, the
// queue in the machine's.
type key [8]byte

func (m Match) key(queue int) (k key) {
	if m.DstIP.IsValid() {
		ip := m.DstIP.As4()
		copy(k[:4], ip[:])
	}
	binary.BigEndian.PutUint16(k[4:], m.DstPort)
	binary.NativeEndian.PutUint16(k[6:], uint16(queue))
	return k
}

func (k key) match() (m Match, queue int) {
	if ip := [4]byte(k[:4]); ip != [4]byte{} {
		m.DstIP = netip.AddrFrom4(ip)
	}
	m.DstPort = binary.BigEndian.Uint16(k[4:])
	return m, int(binary.NativeEndian.Uint16(k[6:]))
}

// NoteSize is the size of a Note: that of struct uls_msg_flow.
const NoteSize = 40

// Note is what the caller wants to remember of a flow, for example what becomes
// of its frames. The program does not look at it.
type Note [NoteSize]byte

// Flow is an entry of the map of flows.
type Flow struct {
	Match
	Note Note
}

// Device is the steering of one network device.
type Device struct {
	dir     string
	link    link.Link
	sockets *ebpf.Map
	flows   *ebpf.Map
}

// Attach opens the steering of the device, or makes it: maps, program and link,
// all pinned. created says which; the maker undoes it with Detach if a later step
// fails. A new program passes every frame until a socket and a flow are set.
//
// Errors wrap the kernel's: EOPNOTSUPP (the driver has no native XDP), EBUSY or
// EEXIST (another XDP program is attached), EPERM.
func Attach(ifi *net.Interface) (d *Device, created bool, err error) {
	if d, err = Load(ifi); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return d, false, err
	}
	if err := mountBPF(); err != nil {
		return nil, false, err
	}
	d = &Device{dir: filepath.Join(Dir, ifi.Name)}
	// Whatever is there has no link: the remains of a device that is gone.
	if err := os.RemoveAll(d.dir); err != nil {
		return nil, false, fmt.Errorf("remove old steering: %w", err)
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("make steering folder: %w", err)
	}
	if err := d.create(ifi); err != nil {
		return nil, false, errors.Join(err, d.Detach())
	}
	return d, true, nil
}

func (d *Device) create(ifi *net.Interface) (err error) {
	if d.sockets, err = ebpf.NewMap(socketsSpec()); err != nil {
		return fmt.Errorf("make the map of sockets: %w", err)
	}
	if d.flows, err = ebpf.NewMap(flowsSpec()); err != nil {
		return fmt.Errorf("make the map of flows: %w", err)
	}
	prog, err := ebpf.NewProgram(program(d.sockets, d.flows))
	if err != nil {
		return fmt.Errorf("load the XDP program: %w", err)
	}
	defer prog.Close() // the link holds it
	d.link, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifi.Index, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("attach the XDP program to %s in native mode: %w", ifi.Name, err)
	}
	for _, p := range []struct {
		name string
		pin  func(string) error
	}{{"sockets", d.sockets.Pin}, {"flows", d.flows.Pin}, {"link", d.link.Pin}} {
		if err := p.pin(filepath.Join(d.dir, p.name)); err != nil {
			return fmt.Errorf("pin %s: %w", p.name, err)
		}
	}
	return nil
}

// Load opens the steering that an earlier Attach made; an error that is
// fs.ErrNotExist if there is none, or none that is still attached.
func Load(ifi *net.Interface) (*Device, error) {
	d := &Device{dir: filepath.Join(Dir, ifi.Name)}
	if err := d.load(ifi); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) load(ifi *net.Interface) (err error) {
	if d.link, err = link.LoadPinnedLink(filepath.Join(d.dir, "link"), nil); err != nil {
		return fmt.Errorf("open steering of %s: %w", ifi.Name, err)
	}
	info, err := d.link.Info()
	if err != nil {
		return fmt.Errorf("open steering of %s: %w", ifi.Name, err)
	}
	x := info.XDP()
	switch {
	case x == nil:
		return fmt.Errorf("%s/link is not the link of an XDP program: remove it", d.dir)
	case x.Ifindex == 0: // the device it was made for has gone
		return fmt.Errorf("steering of %s: its device has gone: %w", ifi.Name, fs.ErrNotExist)
	case int(x.Ifindex) != ifi.Index:
		return fmt.Errorf("%s belongs to a device with index %d, %s here has %d: is it another network namespace's?",
			d.dir, x.Ifindex, ifi.Name, ifi.Index)
	}
	if d.sockets, err = ebpf.LoadPinnedMap(filepath.Join(d.dir, "sockets"), nil); err != nil {
		return fmt.Errorf("open steering of %s: %w", ifi.Name, err)
	}
	if d.flows, err = ebpf.LoadPinnedMap(filepath.Join(d.dir, "flows"), nil); err != nil {
		return fmt.Errorf("open steering of %s: %w", ifi.Name, err)
	}
	return nil
}

// Detach takes the program off the device and removes what was pinned, and
// closes d. Traffic is the kernel stack's again when it returns.
func (d *Device) Detach() error {
	var err error
	if d.link != nil {
		if e := d.link.Unpin(); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = fmt.Errorf("unpin the XDP link: %w", e)
		}
	}
	err = errors.Join(err, d.Close())
	if e := os.RemoveAll(d.dir); e != nil {
		err = errors.Join(err, fmt.Errorf("remove steering: %w", e))
	}
	_ = os.Remove(Dir) // fails while other devices are steered: as it should
	return err
}

// Close closes the descriptors; what is pinned stays in force.
func (d *Device) Close() error {
	var err error
	if d.link != nil {
		err = errors.Join(err, d.link.Close())
	}
	if d.sockets != nil {
		err = errors.Join(err, d.sockets.Close())
	}
	if d.flows != nil {
		err = errors.Join(err, d.flows.Close())
	}
	return err
}

// SetSocket gives a queue's steered frames to an AF_XDP socket; from here on
// they arrive there.
func (d *Device) SetSocket(queue, fd int) error {
	if queue < 0 || queue >= maxQueues {
		return fmt.Errorf("queue %d: only the first %d can be steered", queue, maxQueues)
	}
	if err := d.sockets.Put(uint32(queue), uint32(fd)); err != nil {
		return fmt.Errorf("steer queue %d to the socket: %w", queue, err)
	}
	return nil
}

// ClearSocket returns a queue to the kernel's stack. Nothing to clear is no
// error: a socket that is closed has left by itself.
func (d *Device) ClearSocket(queue int) error {
	err := d.sockets.Delete(uint32(queue))
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("take the socket off queue %d: %w", queue, err)
	}
	return nil
}

// AddFlow steers m's frames that arrive on the queue; fs.ErrExist if they are.
func (d *Device) AddFlow(queue int, m Match, n Note) error {
	if err := d.flows.Update(m.key(queue), n, ebpf.UpdateNoExist); err != nil {
		if errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("flow %v is steered already: %w", m, fs.ErrExist)
		}
		return fmt.Errorf("steer flow %v: %w", m, err)
	}
	return nil
}

// DelFlow ends it; fs.ErrNotExist if it was not steered.
func (d *Device) DelFlow(queue int, m Match) error {
	if err := d.flows.Delete(m.key(queue)); err != nil {
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("flow %v is not steered: %w", m, fs.ErrNotExist)
		}
		return fmt.Errorf("end flow %v: %w", m, err)
	}
	return nil
}

// Flows lists what is steered to the queue, ordered.
func (d *Device) Flows(queue int) ([]Flow, error) {
	var (
		k   key
		n   Note
		out []Flow
	)
	it := d.flows.Iterate()
	for it.Next(&k, &n) {
		if m, q := k.match(); q == queue {
			out = append(out, Flow{m, n})
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("list flows: %w", err)
	}
	slices.SortFunc(out, func(a, b Flow) int {
		return cmp.Or(a.DstIP.Compare(b.DstIP), cmp.Compare(a.DstPort, b.DstPort))
	})
	return out, nil
}

// ClearFlows ends all flows of a queue.
func (d *Device) ClearFlows(queue int) error {
	flows, err := d.Flows(queue)
	for _, f := range flows {
		if e := d.DelFlow(queue, f.Match); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Lock keeps other processes from changing steering until unlock is called: one
// may be about to take away what the other has just found.
func Lock() (unlock func(), err error) {
	if err := mountBPF(); err != nil {
		return nil, err
	}
	f, err := os.Open(Root)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", Root, err)
	}
	return func() { f.Close() }, nil
}

// mountBPF sees to it that bpffs is there, as ip and bpftool do.
func mountBPF() error {
	var st unix.Statfs_t
	if err := unix.Statfs(Root, &st); err == nil && st.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", Root, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs (mount -t bpf bpf %s): %w", Root, err)
	}
	return nil
}

// Devices lists the names of the devices that have steering.
func Devices() ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, err
}
