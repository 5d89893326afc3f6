// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"

	"sandstream/internal/model/topology"
)

// udp builds a UDP packet with another implementation.
func udp(t testing.TB, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{10, 77, 0, 1}, DstIP: []byte{10, 77, 0, 2}}
	u := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, u, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParse(t *testing.T) {
	b := udp(t, []byte("hello"))
	p, err := Parse(append(slices.Clone(b), 0, 0, 0)) // with padding
	if err != nil {
		t.Fatal(err)
	}
	if p.Src.String() != "10.77.0.1" || p.Dst.String() != "10.77.0.2" || p.SrcPort != 1000 || p.DstPort != 2000 || string(p.Payload) != "hello" {
		t.Errorf("got %+v", p)
	}
	for l := range b {
		if _, err := Parse(b[:l]); err == nil {
			t.Errorf("the first %d bytes of %d parse", l, len(b))
		}
	}
	later := slices.Clone(b)
	binary.BigEndian.PutUint16(later[6:], 100) // fragment offset
	if p, err := Parse(later); err != nil || p.SrcPort != 0 {
		t.Errorf("a later fragment: port %d, error %v", p.SrcPort, err)
	}
	if _, err := Parse([]byte{0x60, 0}); !errors.Is(err, ErrNotIPv4) {
		t.Errorf("IPv6: %v", err)
	}
}

// What the kernel leaves to the device is the sum of the pseudo header in the field.
func TestFinishChecksumEqualsAnotherImplementation(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := udp(t, rapid.SliceOfN(rapid.Byte(), 0, 1400).Draw(r, "payload"))
		got := slices.Clone(want)
		pseudo := uint32(10<<8|77) + 1 + uint32(10<<8|77) + 2 + protoUDP + uint32(len(want)-ipv4HeaderLen)
		for pseudo>>16 != 0 {
			pseudo = pseudo&0xffff + pseudo>>16
		}
		binary.BigEndian.PutUint16(got[ipv4HeaderLen+6:], uint16(pseudo))
		if err := finishChecksum(got, ipv4HeaderLen, 6); err != nil {
			r.Fatal(err)
		}
		if !slices.Equal(got, want) {
			r.Fatalf("checksum %x, want %x", got[26:28], want[26:28])
		}
	})
}

// FuzzParse: the parts of what parses lie within the packet, and agree with another
// parser where that one understands the packet as well.
func FuzzParse(f *testing.F) {
	b := udp(f, []byte("payload"))
	f.Add(b, uint16(20), uint16(6))
	f.Add(b[:24], uint16(0), uint16(0))
	f.Add([]byte{0x4f, 0, 0, 20}, uint16(65535), uint16(65535))
	f.Fuzz(func(t *testing.T, b []byte, start, offset uint16) {
		p, err := Parse(b)
		c := slices.Clone(b)
		_ = finishChecksum(c, int(start), int(offset))
		if err != nil {
			return
		}
		if p.total > len(b) || len(p.Payload) > p.total-ipv4HeaderLen {
			t.Fatalf("%d bytes give a packet of %d with payload %d", len(b), p.total, len(p.Payload))
		}
		other := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
		ip, ok := other.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if !ok || other.ErrorLayer() != nil {
			return
		}
		if src, _ := netipFrom(ip.SrcIP); src != p.Src.String() || byte(ip.Protocol) != p.Proto {
			t.Fatalf("source %s protocol %d, the other parser has %s and %d", p.Src, p.Proto, ip.SrcIP, ip.Protocol)
		}
		if u, ok := other.Layer(layers.LayerTypeUDP).(*layers.UDP); ok && (uint16(u.DstPort) != p.DstPort) {
			t.Fatalf("port %d, the other parser has %d", p.DstPort, u.DstPort)
		}
	})
}

func netipFrom(ip []byte) (string, bool) {
	if len(ip) != 4 {
		return "", false
	}
	return layers.NewIPEndpoint(ip).String(), true
}

func TestHeapOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h flights
		var n uint64
		last := flight{due: -1}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			if len(h) == 0 || rapid.Bool().Draw(t, "push") {
				// Never before what was taken out, like time.
				h.push(flight{due: last.due + rapid.Int64Range(0, 5).Draw(t, "due"), n: n})
				n++
				continue
			}
			f := h.pop()
			if f.before(&last) {
				t.Fatalf("%d/%d after %d/%d", f.due, f.n, last.due, last.n)
			}
			for i := range h {
				if h[i].before(&f) {
					t.Fatalf("%d/%d came out before %d/%d", f.due, f.n, h[i].due, h[i].n)
				}
			}
			last = f
		}
	})
}

func TestTransitStub(t *testing.T) {
	const hosts, median = 16, 20 * time.Millisecond
	m, err := TransitStub(Small, hosts, median, 7)
	if err != nil {
		t.Fatal(err)
	}
	var all []time.Duration
	for i := range m {
		for j := range m[i] {
			if i == j {
				continue
			}
			if m[i][j] != m[j][i] || m[i][j].Delay <= 0 {
				t.Fatalf("%d-%d: %v and back %v", i, j, m[i][j], m[j][i])
			}
			all = append(all, m[i][j].Delay)
		}
	}
	slices.Sort(all)
	if got := all[len(all)/2]; (got - median).Abs() > time.Microsecond {
		t.Errorf("median %v, want %v", got, median)
	}
	if all[0] == all[len(all)-1] {
		t.Error("all delays are the same")
	}
	again, _ := TransitStub(Small, hosts, median, 7)
	other, _ := TransitStub(Small, hosts, median, 8)
	if !slices.EqualFunc(m, again, slices.Equal) || slices.EqualFunc(m, other, slices.Equal) {
		t.Error("the delays are not a function of the seed")
	}
	if _, err := TransitStub(topology.Params{}, hosts, median, 1); err == nil {
		t.Error("impossible parameters are accepted")
	}
}
