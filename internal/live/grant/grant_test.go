// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"sandstream/internal/live/seal"
)

func id(key ed25519.PublicKey) ([16]byte, error) {
	sum := sha256.Sum256(key)
	return [16]byte(sum[:16]), nil
}

func newSelf(t testing.TB, cert bool) Self {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := Self{Key: key}
	s.ID, _ = id(pub)
	if cert {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camera"}, NotAfter: time.Now().Add(time.Hour)}
		if s.Cert, err = x509.CreateCertificate(rand.Reader, c, c, pub, key); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var keys = []seal.Key{seal.NewKey(seal.AES128GCM, 7), seal.NewKey(seal.ChaCha20Poly1305, 8)}

// The keys come to the one who asked, as they were; the blob shows none of them.
func TestGranted(t *testing.T) {
	for _, cert := range []bool{false, true} {
		pub, sub := newSelf(t, true), newSelf(t, cert)
		about := About{Stream: [16]byte{1}, Publisher: pub.ID}
		p, err := New(about, sub, Seals, 7)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Read(about, p.Ask, id)
		if err != nil {
			t.Fatal(err)
		}
		if a.Host != sub.ID || a.Role != Seals || a.Epoch != 7 || (a.Cert != nil) != cert || cert && a.Cert.Subject.CommonName != "camera" {
			t.Errorf("read %+v", a)
		}
		answer, err := a.Grant(pub, keys...)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if bytes.Contains(answer, k.Secret[:8]) {
				t.Error("a key is in the clear")
			}
		}
		got, err := p.Answer(answer, id)
		if err != nil || !slices.Equal(got, keys) {
			t.Errorf("got %v, %v", got, err)
		}
		// Refused.
		var no *RefusedError
		if got, err := p.Answer(a.Refuse(pub, "not on the list"), id); !errors.As(err, &no) || no.Reason != "not on the list" || no.PutOut || got != nil {
			t.Errorf("refused: %v, %v", got, err)
		}
		if _, err := p.Answer(a.Refuse(pub, strings.Repeat("ä", maxBody)), id); !errors.As(err, &no) || len(no.Reason) > maxBody {
			t.Errorf("a long reason: %v", err)
		}
		if got, err := p.Answer(a.PutOut(pub), id); !errors.As(err, &no) || !no.PutOut || got != nil {
			t.Errorf("put out: %v, %v", got, err)
		}
	}
}

// What hosts in between may try: another's ask, another's answer, an answer to another ask,
// any bit changed.
func TestForged(t *testing.T) {
	pub, sub, mallory := newSelf(t, false), newSelf(t, true), newSelf(t, false)
	about := About{Stream: [16]byte{1}, Publisher: pub.ID}
	ask := func() *Pending {
		p, err := New(about, sub, Reads, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := ask()
	a, err := Read(about, p.Ask, id)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.Grant(pub, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Ask {
		bad := bytes.Clone(p.Ask)
		bad[i] ^= 4
		if _, err := Read(about, bad, id); err == nil {
			t.Fatalf("byte %d of an ask can be changed", i)
		}
	}
	for i := range answer {
		bad := bytes.Clone(answer)
		bad[i] ^= 4
		if _, err := p.Answer(bad, id); err == nil {
			t.Fatalf("byte %d of an answer can be changed", i)
		}
	}
	if _, err := Read(About{Stream: [16]byte{2}, Publisher: pub.ID}, p.Ask, id); err == nil {
		t.Error("an ask is good for another stream")
	}
	if _, err := Read(About{Stream: [16]byte{1}, Publisher: mallory.ID}, p.Ask, id); err == nil {
		t.Error("an ask is good for another publisher")
	}
	if _, err := ask().Answer(answer, id); err == nil {
		t.Error("an answer is good for another ask")
	}
	theirs, err := a.Grant(mallory, keys[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Answer(theirs, id); err == nil {
		t.Error("somebody else's key is taken")
	}
	var no *RefusedError
	if _, err := p.Answer(a.Refuse(mallory, "no"), id); err == nil || errors.As(err, &no) {
		t.Errorf("somebody else refuses: %v", err)
	}
	// A certificate of another's key.
	other := newSelf(t, true)
	liar := sub
	liar.Cert = other.Cert
	q, err := New(about, liar, Reads, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(about, q.Ask, id); err == nil {
		t.Error("a certificate for another key is taken")
	}
}

func FuzzRead(f *testing.F) {
	pub := newSelf(f, false)
	about := About{Stream: [16]byte{1}, Publisher: pub.ID}
	p, err := New(about, newSelf(f, true), Reads, 3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Ask)
	f.Add(p.Ask[:askHead+ed25519.SignatureSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Read(about, b, id)
		if err == nil && !bytes.Equal(b, p.Ask) && a.Host == p.asker {
			t.Fatalf("an ask that host did not make: %x", b)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	pub := newSelf(f, false)
	about := About{Stream: [16]byte{1}, Publisher: pub.ID}
	p, err := New(about, newSelf(f, false), Reads, 3)
	if err != nil {
		f.Fatal(err)
	}
	a, err := Read(about, p.Ask, id)
	if err != nil {
		f.Fatal(err)
	}
	answer, err := a.Grant(pub, keys...)
	if err != nil {
		f.Fatal(err)
	}
	refusal := a.Refuse(pub, "no")
	f.Add(answer)
	f.Add(refusal)
	f.Fuzz(func(t *testing.T, b []byte) {
		var no *RefusedError
		keys, err := p.Answer(b, id)
		if (err == nil || errors.As(err, &no)) && !bytes.Equal(b, answer) && !bytes.Equal(b, refusal) {
			t.Fatalf("an answer that the publisher did not give: %x: %v, %v", b, keys, err)
		}
	})
}
