// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	"sandstream/internal/overlay"
)

// The zone of an address that another host sent is nobody's word here.
func TestZoneOfAddressIsDropped(t *testing.T) {
	addr := netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone("\xff\x1b[2J"), 1)
	owner := overlay.Peer{ID: overlay.HostID{1}, Addr: addr}
	m, err := overlay.Decode(overlay.Encode(nil, &overlay.Announce{Records: []overlay.Record{{Owner: owner}}}))
	if err != nil {
		t.Fatal(err)
	}
	z := zoneOf(&m.(*overlay.Announce).Records[0])
	if z.Owner.Addr != "[fe80::1]:1" {
		t.Errorf("%q", z.Owner.Addr)
	}
	if _, err := proto.Marshal(z); err != nil {
		t.Error(err)
	}
}
