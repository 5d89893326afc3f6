// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	"sandstream/internal/overlay/wire"
)

// The zone of an address that another host sent is nobody's word here.
func TestZoneOfAddressIsDropped(t *testing.T) {
	addr := netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone("\xff\x1b[2J"), 1)
	owner := wire.Peer{ID: wire.HostID{1}, Addr: addr}
	m, err := wire.Decode(wire.Encode(nil, &wire.Announce{Records: []wire.Record{{Owner: owner}}}))
	if err != nil {
		t.Fatal(err)
	}
	z := zoneOf(&m.(*wire.Announce).Records[0])
	if z.Owner.Addr != "[fe80::1]:1" {
		t.Errorf("%q", z.Owner.Addr)
	}
	if _, err := proto.Marshal(z); err != nil {
		t.Error(err)
	}
}
