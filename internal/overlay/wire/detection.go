// SPDX-License-Identifier: Apache-2.0

package wire

// Failure detection and measurement of links: package links handles these.

// Ping asks for an Ack. Digest covers the sender's own records: who has not
// seen them asks with Pull. Ping and Ack measure the link as well.
type Ping struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Digest uint64 `cbor:"2,keyasint"`
	Region Region `cbor:"3,keyasint"`
}

func (*Ping) kind() Kind { return 1 }

// Ack answers a Ping with the same Seq.
type Ack struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Digest uint64 `cbor:"2,keyasint"`
	Region Region `cbor:"3,keyasint"`
}

func (*Ack) kind() Kind { return 2 }

// PingReq asks the receiver to probe Target (Das et al.: SWIM, DSN 2002).
type PingReq struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Target Peer   `cbor:"2,keyasint"`
}

func (*PingReq) kind() Kind { return 3 }

// PingRes tells that the Target of a PingReq is alive.
type PingRes struct {
	Seq    uint32 `cbor:"1,keyasint"`
	Target HostID `cbor:"2,keyasint"`
}

func (*PingRes) kind() Kind { return 4 }
