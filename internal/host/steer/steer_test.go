// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestKeyRoundTrip(t *testing.T) {
	for _, m := range []Match{
		{},
		{DstPort: 9000},
		{DstIP: netip.MustParseAddr("10.0.1.1")},
		{DstIP: netip.MustParseAddr("10.0.1.1"), DstPort: 65535},
	} {
		for _, q := range []int{0, 1, 255} {
			if got, gq := m.key(q).match(); got != m || gq != q {
				t.Errorf("%v queue %d: came back as %v queue %d", m, q, got, gq)
			}
		}
	}
	k := Match{DstIP: netip.MustParseAddr("10.0.1.1"), DstPort: 0x2328}.key(0)
	if [6]byte(k[:6]) != [6]byte{10, 0, 1, 1, 0x23, 0x28} {
		t.Errorf("key is % x, want network byte order", k)
	}
}

// frame is a UDP frame with the fields the program looks at; change spoils it.
func frame(dst string, port uint16, change func([]byte)) []byte {
	b := make([]byte, 60)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	b[14], b[22], b[23] = 0x45, 64, 17
	ip := netip.MustParseAddr(dst).As4()
	copy(b[30:], ip[:])
	binary.BigEndian.PutUint16(b[36:], port)
	if change != nil {
		change(b)
	}
	return b
}

// The program is run by the kernel (BPF_PROG_TEST_RUN) on one frame after the
// other, with a real socket on queue 0.
func TestProgram(t *testing.T) {
	d := loadForTest(t)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no AF_XDP sockets here: %v", err)
	}
	defer unix.Close(fd)
	if err := d.SetSocket(0, fd); err != nil {
		t.Fatal(err)
	}
	prog, err := ebpf.NewProgram(program(d.sockets, d.flows))
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()

	a := netip.MustParseAddr("10.0.1.1")
	exact, anyPort, anyIP := Match{a, 9000}, Match{DstIP: a}, Match{DstPort: 9000}
	other := Match{netip.MustParseAddr("10.9.9.9"), 1}
	good := frame("10.0.1.1", 9000, nil)
	for _, c := range []struct {
		name  string
		flows []Match
		frame []byte
		want  uint32
	}{
		{"no flow", nil, good, xdpPass},
		{"other flow", []Match{other}, good, xdpPass},
		{"exact", []Match{other, exact}, good, xdpRedirect},
		{"any port", []Match{anyPort}, good, xdpRedirect},
		{"any address", []Match{anyIP}, good, xdpRedirect},
		{"anything", []Match{{}}, good, xdpRedirect},
		{"other port", []Match{exact}, frame("10.0.1.1", 9001, nil), xdpPass},
		{"other address", []Match{exact}, frame("10.0.1.2", 9000, nil), xdpPass},
		{"any port, other address", []Match{anyPort}, frame("10.0.1.2", 9000, nil), xdpPass},
		{"any address, other port", []Match{anyIP}, frame("10.0.1.1", 9001, nil), xdpPass},
		{"TCP", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[23] = 6 }), xdpPass},
		{"ARP", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[13] = 6 }), xdpPass},
		{"VLAN", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[12], b[13] = 0x81, 0 }), xdpPass},
		{"IPv6", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[14] = 0x60 }), xdpPass},
		{"options", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[14] = 0x46 }), xdpPass},
		{"first fragment", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[20] = 0x20 }), xdpPass},
		{"last fragment", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[21] = 1 }), xdpPass},
		{"do not fragment", []Match{{}}, frame("10.0.1.1", 9000, func(b []byte) { b[20] = 0x40 }), xdpRedirect},
		{"short", []Match{{}}, good[:41], xdpPass},
		{"shortest", []Match{{}}, good[:42], xdpRedirect},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range c.flows {
				if err := d.AddFlow(0, m, Note{}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := prog.Run(&ebpf.RunOptions{Data: c.frame})
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("action %d, want %d", got, c.want)
			}
			if err := d.ClearFlows(0); err != nil {
				t.Fatal(err)
			}
		})
	}

	// A flow of another queue is not taken, and a closed socket means pass.
	if err := d.AddFlow(1, exact, Note{}); err != nil {
		t.Fatal(err)
	}
	if got, err := prog.Run(&ebpf.RunOptions{Data: good}); err != nil || got != xdpPass {
		t.Errorf("flow of queue 1 on queue 0: action %d (%v), want pass", got, err)
	}
	if err := d.AddFlow(0, exact, Note{}); err != nil {
		t.Fatal(err)
	}
	if err := d.ClearSocket(0); err != nil {
		t.Fatal(err)
	}
	if got, err := prog.Run(&ebpf.RunOptions{Data: good}); err != nil || got != xdpPass {
		t.Errorf("queue without a socket: action %d (%v), want pass", got, err)
	}
	if err := d.ClearSocket(0); err != nil {
		t.Errorf("clearing twice: %v", err)
	}
}

func TestFlows(t *testing.T) {
	d := loadForTest(t)
	a, b := Match{netip.MustParseAddr("10.0.1.1"), 9000}, Match{netip.MustParseAddr("10.0.1.1"), 80}
	for i, m := range []Match{a, b} {
		if err := d.AddFlow(3, m, Note{byte(i + 1), 39: 7}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.AddFlow(3, a, Note{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("adding twice: %v, want ErrExist", err)
	}
	if ms, err := d.Flows(3); err != nil || len(ms) != 2 ||
		ms[0] != (Flow{b, Note{2, 39: 7}}) || ms[1] != (Flow{a, Note{1, 39: 7}}) {
		t.Errorf("flows of queue 3: %v (%v), want them ordered", ms, err)
	}
	if ms, err := d.Flows(0); err != nil || len(ms) != 0 {
		t.Errorf("flows of queue 0: %v (%v), want none", ms, err)
	}
	if err := d.DelFlow(0, a); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ending an unknown flow: %v, want ErrNotExist", err)
	}
	if err := d.SetSocket(maxQueues, 0); err == nil {
		t.Error("queue out of range accepted")
	}
}

// loadForTest makes the maps without attaching anything.
func loadForTest(t *testing.T) *Device {
	t.Helper()
	d := &Device{}
	var err error
	if d.sockets, err = ebpf.NewMap(socketsSpec()); err == nil {
		t.Cleanup(func() { d.sockets.Close() })
		if d.flows, err = ebpf.NewMap(flowsSpec()); err == nil {
			t.Cleanup(func() { d.flows.Close() })
		}
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported) {
		t.Skipf("BPF maps cannot be made here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A device whose driver has no native XDP is refused and leaves nothing behind;
// the loopback never has it.
func TestAttachRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	loadForTest(t)
	if err := mountBPF(); err != nil {
		t.Skip(err)
	}
	unlock, err := Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Attach(lo); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("got %v, want EOPNOTSUPP", err)
	}
	if _, err := os.Stat(Dir + "/lo"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s/lo is left behind (%v)", Dir, err)
	}
	if _, err := Load(lo); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v, want ErrNotExist", err)
	}
}
