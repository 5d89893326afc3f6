// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"testing"
)

// cut takes datagrams out of fuzz data: a length of 16 bits before each.
func cut(data []byte) [][]byte {
	var out [][]byte
	for len(data) >= 2 && len(out) < 200 {
		n := min(int(data[0])<<8|int(data[1]), len(data)-2)
		out = append(out, data[2:2+n])
		data = data[2+n:]
	}
	return out
}

func join(pkts ...[]byte) []byte {
	var b []byte
	for _, p := range pkts {
		b = append(append(b, byte(len(p)>>8), byte(len(p))), p...)
	}
	return b
}

// Whatever peers send, an SPA that is shipped neither traps nor overruns, sends
// nothing longer than a datagram, and nothing at all for what is no datagram of a stream.
func FuzzSPAs(f *testing.F) {
	ts := bytes.Repeat(append([]byte{0x47, 0x1f, 0xff, 0x10}, make([]byte, 184)...), 2)
	pat := append([]byte{0x47, 0x40, 0, 0x10, 0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0}, make([]byte, 171)...)
	pmt := append([]byte{
		0x47, 0x50, 0, 0x10, 0, 2, 0xb0, 18, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0,
	}, make([]byte, 166)...)
	for spa := range byte(len(Shipped())) {
		f.Add(spa, byte(0), join(datagram(1, 0, ts), datagram(3, 1, []byte("text")), datagram(2, 0, nil), datagram(3, 0, nil)))
		f.Add(spa, byte(1), join(datagram(1, 0, append(pat, pmt...)), datagram(2, 4, []byte{0, 9, 0x80, 1, 2, 3, 4, 5, 6, 7, 8})))
	}
	p := NewPortable(f.Context())
	f.Cleanup(func() { _ = p.Close() })
	f.Fuzz(func(t *testing.T, spa, mode byte, data []byte) {
		name := Shipped()[int(spa)%len(Shipped())]
		in, err := p.Load(t.Context(), name, nil, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		_ = in.AddOutput(3) // refused by those without a table
		_ = in.AddOutput(4)
		for _, param := range []string{"keyframes", "expand", "weight1"} {
			_ = in.Set(param, uint64(mode&1)) // each has one of them at most
		}
		pkts := cut(data)
		good := 0
		for _, d := range pkts {
			if len(d) >= HeaderLen && d[0] == 2 && !bytes.Equal(d[24:32], make([]byte, 8)) && d[3]|d[6]|d[7] == 0 {
				good++
			}
		}
		sent := 0
		err = in.Batch(pkts, func(_ int, pkt []byte) {
			if len(pkt) < HeaderLen || len(pkt) > MaxDatagram {
				t.Errorf("%s sent %d bytes", name, len(pkt))
			}
			sent++
		})
		if err != nil {
			t.Fatal(err)
		}
		// forward does not look behind UDP; multicast has two children here.
		if most := good * 2; name != "forward" && sent > most {
			t.Errorf("%s sent %d for %d good datagrams of %d", name, sent, good, len(pkts))
		}
	})
}
