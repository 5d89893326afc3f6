// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"sandstream/internal/live/seal"
)

// Bounds in bytes.
const (
	maxCert   = 2048
	maxBody   = 512
	MaxAsk    = askHead + maxCert + ed25519.SignatureSize
	MaxAnswer = answerHead + maxBody + ed25519.SignatureSize
	maxKeys   = 4

	version    = 1
	askHead    = 72
	answerHead = 36
	keySize    = 1 + 4 + 32
)

const (
	askLabel    = "sandstream key ask 2"
	answerLabel = "sandstream key grant 2"
	hpkeLabel   = "sandstream stream key 2"
)

// Role is what a host wants a key for.
type Role uint8

// The roles.
const (
	Reads Role = 0
	Seals Role = 1 // a stage that looks at content runs there
)

// ErrMalformed is the root of what decoders refuse.
var ErrMalformed = errors.New("malformed key message")

// HostID gives the id of the host with this key.
type HostID func(ed25519.PublicKey) ([16]byte, error)

// About is which stream's key is asked for, and from whom.
type About struct {
	Stream    [16]byte
	Publisher [16]byte // host id
}

// Self is the host that asks or answers.
type Self struct {
	ID   [16]byte
	Key  ed25519.PrivateKey
	Cert []byte // X.509, DER; empty: none is shown
}

// Pending is an ask whose answer has not come.
type Pending struct {
	Ask    []byte // to be sent
	about  About
	asker  [16]byte
	secret *ecdh.PrivateKey
}

// New makes an ask.
func New(about About, self Self, role Role, epoch uint32) (*Pending, error) {
	secret, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key ask: %w", err)
	}
	if len(self.Cert) > maxCert {
		return nil, fmt.Errorf("key ask: the host's certificate has %d bytes, at most %d", len(self.Cert), maxCert)
	}
	b := []byte{version, byte(role)}
	b = binary.BigEndian.AppendUint32(b, epoch)
	b = append(b, secret.PublicKey().Bytes()...)
	b = append(b, self.Key.Public().(ed25519.PublicKey)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(self.Cert)))
	b = append(b, self.Cert...)
	b = append(b, ed25519.Sign(self.Key, askText(about, b))...)
	return &Pending{Ask: b, about: about, asker: self.ID, secret: secret}, nil
}

func askText(about About, b []byte) []byte {
	m := append([]byte(askLabel), about.Publisher[:]...)
	m = append(m, about.Stream[:]...)
	return append(m, b...)
}

func answerText(stream [16]byte, ask, b []byte) []byte {
	sum := sha256.Sum256(ask)
	m := append([]byte(answerLabel), stream[:]...)
	m = append(m, sum[:]...)
	return append(m, b...)
}

// Ask is an ask that has proved who made it.
type Ask struct {
	Host  [16]byte
	Role  Role
	Epoch uint32
	Cert  *x509.Certificate // nil: none was shown. It is for the host's key; who signed it is not checked here

	about About
	bytes []byte
	to    *ecdh.PublicKey
}

// Read checks an ask for a stream of this publisher.
func Read(about About, b []byte, id HostID) (*Ask, error) {
	if len(b) < askHead+ed25519.SignatureSize || len(b) > MaxAsk || b[0] != version || b[1] > byte(Seals) {
		return nil, fmt.Errorf("%w: an ask of %d bytes", ErrMalformed, len(b))
	}
	n := askHead + int(binary.BigEndian.Uint16(b[70:]))
	if len(b) != n+ed25519.SignatureSize {
		return nil, fmt.Errorf("%w: an ask of %d bytes that says %d", ErrMalformed, len(b), n+ed25519.SignatureSize)
	}
	key := ed25519.PublicKey(b[38:70])
	if !ed25519.Verify(key, askText(about, b[:n]), b[n:]) {
		return nil, errors.New("key ask: the signature is wrong")
	}
	a := &Ask{Role: Role(b[1]), Epoch: binary.BigEndian.Uint32(b[2:]), about: about, bytes: b}
	var err error
	if a.to, err = ecdh.X25519().NewPublicKey(b[6:38]); err != nil {
		return nil, fmt.Errorf("key ask: %w", err)
	}
	if a.Host, err = id(key); err != nil {
		return nil, fmt.Errorf("key ask: %w", err)
	}
	if n > askHead {
		if a.Cert, err = x509.ParseCertificate(b[askHead:n]); err != nil {
			return nil, fmt.Errorf("key ask: certificate: %w", err)
		}
		if have, ok := a.Cert.PublicKey.(ed25519.PublicKey); !ok || !have.Equal(key) {
			return nil, errors.New("key ask: the certificate is for another key")
		}
	}
	return a, nil
}

func hpkeInfo(about About, asker [16]byte) []byte {
	m := append([]byte(hpkeLabel), about.Stream[:]...)
	m = append(m, asker[:]...)
	return append(m, about.Publisher[:]...)
}

// Grant answers with keys.
func (a *Ask) Grant(self Self, keys ...seal.Key) ([]byte, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("key grant: %d keys, 1 to %d", len(keys), maxKeys)
	}
	var plain []byte
	for i := range keys {
		plain = append(plain, byte(keys[i].Suite))
		plain = binary.BigEndian.AppendUint32(plain, keys[i].Epoch)
		plain = append(plain, keys[i].Secret[:]...)
	}
	to, err := hpke.NewDHKEMPublicKey(a.to)
	if err != nil {
		return nil, fmt.Errorf("key grant: %w", err)
	}
	body, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), hpkeInfo(a.about, a.Host), plain)
	clear(plain)
	if err != nil {
		return nil, fmt.Errorf("key grant: %w", err)
	}
	return a.answer(self, granted, body), nil
}

// Refuse answers without a key.
func (a *Ask) Refuse(self Self, reason string) []byte {
	for len(reason) > maxBody || !utf8.ValidString(reason) {
		reason = reason[:min(len(reason)-1, maxBody)]
	}
	return a.answer(self, refused, []byte(reason))
}

// PutOut answers a host that was put out of the stream.
func (a *Ask) PutOut(self Self) []byte { return a.answer(self, putOut, []byte("it was put out")) }

const (
	granted = 1
	refused = 2
	putOut  = 3
)

func (a *Ask) answer(self Self, what byte, body []byte) []byte {
	b := []byte{version, what}
	b = append(b, self.Key.Public().(ed25519.PublicKey)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, body...)
	return append(b, ed25519.Sign(self.Key, answerText(a.about.Stream, a.bytes, b))...)
}

// RefusedError is the publisher's word that the host gets no key.
type RefusedError struct {
	Reason string
	PutOut bool // the host was put out of the stream
}

func (e *RefusedError) Error() string { return "the publisher gives this host no key: " + e.Reason }

// Answer checks an answer and gives the keys; a refusal of the publisher is a RefusedError.
// Any other error means that somebody else has spoken.
func (p *Pending) Answer(b []byte, id HostID) ([]seal.Key, error) {
	if len(b) < answerHead+ed25519.SignatureSize || len(b) > MaxAnswer || b[0] != version || b[1] < granted || b[1] > putOut {
		return nil, fmt.Errorf("%w: an answer of %d bytes", ErrMalformed, len(b))
	}
	n := answerHead + int(binary.BigEndian.Uint16(b[34:]))
	if len(b) != n+ed25519.SignatureSize {
		return nil, fmt.Errorf("%w: an answer of %d bytes that says %d", ErrMalformed, len(b), n+ed25519.SignatureSize)
	}
	key := ed25519.PublicKey(b[2:34])
	if who, err := id(key); err != nil || who != p.about.Publisher {
		return nil, errors.New("key grant: it is not signed by the stream's publisher")
	}
	if !ed25519.Verify(key, answerText(p.about.Stream, p.Ask, b[:n]), b[n:]) {
		return nil, errors.New("key grant: the signature is wrong")
	}
	body := b[answerHead:n]
	if b[1] != granted {
		if !utf8.Valid(body) {
			return nil, fmt.Errorf("%w: the reason is no text", ErrMalformed)
		}
		return nil, &RefusedError{Reason: string(body), PutOut: b[1] == putOut}
	}
	secret, err := hpke.NewDHKEMPrivateKey(p.secret)
	if err != nil {
		return nil, fmt.Errorf("key grant: %w", err)
	}
	plain, err := hpke.Open(secret, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), hpkeInfo(p.about, p.asker), body)
	if err != nil {
		return nil, fmt.Errorf("key grant: %w", err)
	}
	defer clear(plain)
	return keysOf(plain)
}

func keysOf(b []byte) (keys []seal.Key, err error) {
	if len(b) == 0 || len(b)%keySize != 0 || len(b) > maxKeys*keySize {
		return nil, fmt.Errorf("%w: keys of %d bytes", ErrMalformed, len(b))
	}
	for ; len(b) > 0; b = b[keySize:] {
		k := seal.Key{Suite: seal.Suite(b[0]), Epoch: binary.BigEndian.Uint32(b[1:]), Secret: seal.Secret(b[5:keySize])}
		if err := k.Check(); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}
