// SPDX-License-Identifier: Apache-2.0

package wire

// MaxKeyBlob is the longest that a host and a publisher say to one another about a key, in
// bytes. What they say is theirs: package grant of the driver.
const MaxKeyBlob = 4096

// Epochs are those of a stream's key: what packets are sealed under, and what they will
// be; 0: none.
type Epochs struct {
	Epoch uint32 `cbor:"20,keyasint,omitempty"`
	Next  uint32 `cbor:"21,keyasint,omitempty"`
}

// KeyAsk goes up a stream's tree to the publisher.
type KeyAsk struct {
	Stream StreamID `cbor:"1,keyasint"`
	Number uint64   `cbor:"2,keyasint"` // by chance: the way back is found by it
	Blob   []byte   `cbor:"3,keyasint"`
}

func (*KeyAsk) kind() Kind { return 30 }

// KeyGrant is the publisher's answer, and goes down the way that the KeyAsk came.
type KeyGrant struct {
	Stream StreamID `cbor:"1,keyasint"`
	Number uint64   `cbor:"2,keyasint"`
	Blob   []byte   `cbor:"3,keyasint"`
}

func (*KeyGrant) kind() Kind { return 31 }
