// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/steer"
)

// Flow says which UDP frames go to an SPA, and what a forwarding SPA makes of
// them. Its notation (ParseFlow, String):
//
//	udp dst ADDRESS:PORT [-> ADDRESS:PORT [src ADDRESS:PORT] [mac MAC] [srcmac MAC]]
//
// Before the arrow "*" matches any address or port; after it "*" keeps what the
// frame has. Without an arrow the flow is only steered: the SPA is not told.
type Flow struct {
	DstIP   netip.Addr // invalid: any
	DstPort uint16     // 0: any

	Forward    bool       // the rest counts, and the SPA gets a flow entry
	NewDstIP   netip.Addr // invalid: keep; likewise NewSrcIP
	NewDstPort uint16     // 0: keep; likewise NewSrcPort
	NewSrcIP   netip.Addr
	NewSrcPort uint16
	NewDstMAC  [6]byte // zero: Map looks NewDstIP up among the neighbours
	NewSrcMAC  [6]byte // zero: the port's own
}

// ParseFlow reads the notation; unknown words, repeated words and impossible
// addresses are errors that name the word.
func ParseFlow(text string) (Flow, error) {
	p := flowParser{text: text, words: strings.Fields(text)}
	f, err := p.parse()
	if err != nil {
		return Flow{}, &Error{
			Op: "flow", Object: strconv.Quote(text), Text: err.Error(), Err: ErrInvalid,
			Hint: "udp dst ADDRESS:PORT [-> ADDRESS:PORT [src ADDRESS:PORT] [mac MAC] [srcmac MAC]]",
		}
	}
	return f, nil
}

type flowParser struct {
	text  string
	words []string
}

func (p *flowParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *flowParser) want(word string) error {
	if w := p.next(); w != word {
		return fmt.Errorf("%q expected, not %q", word, w)
	}
	return nil
}

func (p *flowParser) parse() (f Flow, err error) {
	if err := p.want("udp"); err != nil {
		return f, err
	}
	if err := p.want("dst"); err != nil {
		return f, err
	}
	if f.DstIP, f.DstPort, err = endpoint(p.next()); err != nil {
		return f, err
	}
	if len(p.words) == 0 {
		return f, nil
	}
	if err := p.want("->"); err != nil {
		return f, err
	}
	f.Forward = true
	if f.NewDstIP, f.NewDstPort, err = endpoint(p.next()); err != nil {
		return f, err
	}
	return f, p.options(&f)
}

func (p *flowParser) options(f *Flow) (err error) {
	seen := map[string]bool{}
	for len(p.words) > 0 {
		word := p.next()
		if seen[word] {
			return fmt.Errorf("%q occurs twice", word)
		}
		seen[word] = true
		switch word {
		case "src":
			f.NewSrcIP, f.NewSrcPort, err = endpoint(p.next())
		case "mac":
			f.NewDstMAC, err = flowMAC(p.next())
		case "srcmac":
			f.NewSrcMAC, err = flowMAC(p.next())
		default:
			err = fmt.Errorf("unknown word %q", word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func flowMAC(word string) ([6]byte, error) {
	m, err := parseMAC(word)
	if err == nil && m == [6]byte{} {
		err = fmt.Errorf("%q is no station's address", word)
	}
	return m, err
}

// endpoint reads ADDRESS:PORT; "*" stands for the zero value of either.
func endpoint(word string) (ip netip.Addr, port uint16, err error) {
	host, service, ok := strings.Cut(word, ":")
	if !ok || strings.Contains(service, ":") {
		return ip, 0, fmt.Errorf("%q is not ADDRESS:PORT with an IPv4 address", word)
	}
	if host != "*" {
		if ip, err = netip.ParseAddr(host); err != nil || !ip.Is4() || ip.IsUnspecified() {
			return ip, 0, fmt.Errorf("%q is not an IPv4 address (or * )", host)
		}
	}
	if service != "*" {
		n, err := strconv.ParseUint(service, 10, 16)
		if err != nil || n == 0 || service[0] == '+' {
			return ip, 0, fmt.Errorf("%q is not a port from 1 to 65535 (or * )", service)
		}
		port = uint16(n)
	}
	return ip, port, nil
}

func (f Flow) String() string {
	var b strings.Builder
	b.WriteString("udp dst " + f.match().String())
	if !f.Forward {
		return b.String()
	}
	b.WriteString(" -> " + steer.Match{DstIP: f.NewDstIP, DstPort: f.NewDstPort}.String())
	if f.NewSrcIP.IsValid() || f.NewSrcPort != 0 {
		b.WriteString(" src " + steer.Match{DstIP: f.NewSrcIP, DstPort: f.NewSrcPort}.String())
	}
	if f.NewDstMAC != [6]byte{} {
		b.WriteString(" mac " + net.HardwareAddr(f.NewDstMAC[:]).String())
	}
	if f.NewSrcMAC != [6]byte{} {
		b.WriteString(" srcmac " + net.HardwareAddr(f.NewSrcMAC[:]).String())
	}
	return b.String()
}

// MarshalText implements encoding.TextMarshaler: a flow is its notation.
func (f Flow) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Flow) UnmarshalText(b []byte) (err error) {
	*f, err = ParseFlow(string(b))
	return err
}

func (f Flow) match() steer.Match { return steer.Match{DstIP: f.DstIP, DstPort: f.DstPort} }

// message is the control message of the flow; typ is shm.MsgTypeFlowAdd or Del.
func (f Flow) message(typ uint16) []byte {
	m := shm.MsgFlow{
		Hdr:        shm.Msg{Type: typ},
		MatchDstIP: ip4(f.DstIP), NewSrcIP: ip4(f.NewSrcIP), NewDstIP: ip4(f.NewDstIP),
		MatchDstPort: be16(f.DstPort), NewSrcPort: be16(f.NewSrcPort), NewDstPort: be16(f.NewDstPort),
		NewDstMAC: f.NewDstMAC, NewSrcMAC: f.NewSrcMAC,
	}
	return encodeMessage(&m, &m.Hdr)
}

// note is what the steering map remembers of the flow: its message, or nothing
// but zeros if it is only steered.
func (f Flow) note() (n steer.Note) {
	if f.Forward {
		copy(n[:], f.message(shm.MsgTypeFlowAdd))
	}
	return n
}

// flowOf is the inverse of note.
func flowOf(s steer.Flow) Flow {
	f := Flow{DstIP: s.DstIP, DstPort: s.DstPort}
	var m shm.MsgFlow
	if _, err := binary.Decode(s.Note[:], binary.LittleEndian, &m); err != nil || m.Hdr.Type != shm.MsgTypeFlowAdd {
		return f
	}
	return fromMessage(m)
}

func fromMessage(m shm.MsgFlow) Flow {
	return Flow{
		DstIP: addr(m.MatchDstIP), DstPort: binary.BigEndian.Uint16(m.MatchDstPort[:]),
		Forward:  true,
		NewDstIP: addr(m.NewDstIP), NewDstPort: binary.BigEndian.Uint16(m.NewDstPort[:]),
		NewSrcIP: addr(m.NewSrcIP), NewSrcPort: binary.BigEndian.Uint16(m.NewSrcPort[:]),
		NewDstMAC: m.NewDstMAC, NewSrcMAC: m.NewSrcMAC,
	}
}

func encodeMessage(msg any, hdr *shm.Msg) []byte {
	hdr.Len = uint16(binary.Size(msg))
	b, err := binary.Append(nil, binary.LittleEndian, msg)
	if err != nil {
		panic(err) // a fixed-size structure always encodes
	}
	return b
}

func ip4(a netip.Addr) (b [4]byte) {
	if a.IsValid() {
		b = a.As4()
	}
	return b
}

func addr(b [4]byte) (a netip.Addr) {
	if b != [4]byte{} {
		a = netip.AddrFrom4(b)
	}
	return a
}

func be16(v uint16) (b [2]byte) {
	binary.BigEndian.PutUint16(b[:], v)
	return b
}
