// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
)

// Suite is the AEAD of a stream.
type Suite uint8

// The suites. Numbers are on the wire, in a grant.
const (
	AES128GCM        Suite = 1
	ChaCha20Poly1305 Suite = 2
)

// Preferred is the suite of a publisher on this machine. Without AES in hardware
// ChaCha20-Poly1305 is several times faster, and free of timing leaks.
func Preferred() Suite {
	if cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL {
		return AES128GCM
	}
	return ChaCha20Poly1305
}

// Secret is a stream's key of one epoch. However it is printed, it does not show.
type Secret [32]byte

// Format implements fmt.Formatter.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[secret]") }

// MarshalText implements encoding.TextMarshaler, for JSON and logs.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Key is what readers and sealers of a stream share in one epoch.
type Key struct {
	Suite  Suite
	Epoch  uint32
	Secret Secret
}

// NewKey makes the key of an epoch.
func NewKey(s Suite, epoch uint32) Key {
	k := Key{Suite: s, Epoch: epoch}
	_, _ = rand.Read(k.Secret[:]) // never fails
	return k
}

// Check refuses a key of a suite that this version does not know.
func (k *Key) Check() error {
	if k.Suite != AES128GCM && k.Suite != ChaCha20Poly1305 {
		return fmt.Errorf("stream key of suite %d: this version knows 1 and 2; upgrade overlayd", k.Suite)
	}
	return nil
}

// sealerOf gives a number to a sealer that begins.
func sealerOf(host [16]byte, stage uint16) uint64 {
	var b [len(sealerLabel) + 16 + 2 + 16]byte
	n := copy(b[:], sealerLabel)
	n += copy(b[n:], host[:])
	binary.BigEndian.PutUint16(b[n:], stage)
	_, _ = rand.Read(b[n+2:])
	sum := sha256.Sum256(b[:])
	return binary.BigEndian.Uint64(sum[:])
}

const (
	sealerLabel = "sandstream sealer 2"
	streamLabel = "sandstream stream 2"
)

// derive is the AEAD of one sealer in the key's epoch.
func (k *Key) derive(stream [16]byte, sealer uint64) (cipher.AEAD, error) {
	info := append([]byte(streamLabel), byte(k.Suite))
	info = binary.BigEndian.AppendUint32(info, k.Epoch)
	info = binary.BigEndian.AppendUint64(info, sealer)
	size := 16
	if k.Suite == ChaCha20Poly1305 {
		size = chacha20poly1305.KeySize
	}
	b, err := hkdf.Key(sha256.New, k.Secret[:], stream[:], string(info), size)
	if err != nil {
		return nil, fmt.Errorf("stream key: %w", err)
	}
	if k.Suite == ChaCha20Poly1305 {
		return chacha20poly1305.New(b)
	}
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, fmt.Errorf("stream key: %w", err)
	}
	return cipher.NewGCM(block)
}

// nonce is a packet's number as AEADs want it.
func nonce(b *[12]byte, seq uint64) []byte {
	binary.BigEndian.PutUint64(b[4:], seq)
	return b[:]
}
