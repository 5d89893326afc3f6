// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// member makes an identity signed by ca, nil: self-signed.
func member(t *testing.T, ca *CA) *Identity {
	t.Helper()
	dir := t.TempDir()
	id, err := LoadOrCreateIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ca == nil {
		return id
	}
	path := filepath.Join(dir, CertFile)
	request, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Sign(cert); err != nil {
		t.Errorf("the CA does not renew what it signed: %v", err)
	}
	do(t, os.WriteFile(path, cert, 0o644))
	signed, err := LoadOrCreateIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if signed.ID != id.ID {
		t.Error("signing has changed the host's id")
	}
	return signed
}

func TestCA(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadOrCreateCA(dir); err != nil {
		t.Fatal(err)
	}
	ca, err := LoadOrCreateCA(dir) // the one on disk
	if err != nil {
		t.Fatal(err)
	}
	pool, err := LoadPool(filepath.Join(dir, CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	with := func(id *Identity) *host {
		return newHost(t, func(c *Config) { c.Identity, c.Token, c.CA = id, nil, pool })
	}
	a, b := with(member(t, ca)), with(member(t, ca))
	connect(t, a, b)

	stranger := with(member(t, nil))
	for _, h := range []*host{a, b} {
		_, err := stranger.Connect(context.Background(), h.Self().Addr)
		if !errors.Is(err, ErrCA) {
			t.Errorf("a host that nobody signed: %v", err)
		}
		if _, err := h.Connect(context.Background(), stranger.Self().Addr); !errors.Is(err, ErrCA) {
			t.Errorf("connected to a host that nobody signed: %v", err)
		}
	}
	other, err := LoadOrCreateCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := newHost(t, func(c *Config) { c.Identity, c.Token, c.CA = member(t, other), nil, other.Pool() })
	if _, err := elsewhere.Connect(context.Background(), a.Self().Addr); !errors.Is(err, ErrCA) {
		t.Errorf("a host of another CA: %v", err)
	}
	// The listener's CA alone decides: here the dialler would take anybody.
	trusting := newHost(t, nil)
	if _, err := trusting.Connect(context.Background(), a.Self().Addr); !errors.Is(err, ErrCA) {
		t.Errorf("a host without certificate: %v", err)
	}
	if a.Stats().Peers != 1 {
		t.Errorf("strangers made state: %+v", a.Stats())
	}
}

// A host whose certificate is over hears of the date, not of a wrong CA; so do
// those it speaks to.
func TestExpired(t *testing.T) {
	ca, err := LoadOrCreateCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	valid := func(from, to time.Time) *Identity {
		id := member(t, ca)
		c := *id.Cert.Leaf
		c.NotBefore, c.NotAfter = from, to
		der, err := x509.CreateCertificate(rand.Reader, &c, ca.cert, c.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		if id, err = newIdentity(id.Cert.PrivateKey.(ed25519.PrivateKey), der); err != nil {
			t.Fatal(err)
		}
		return id
	}
	day := 24 * time.Hour
	old := valid(time.Now().Add(-3*day), time.Now().Add(-2*day))
	over := "expired on " + time.Now().UTC().Add(-2*day).Format(time.DateOnly)
	early := valid(time.Now().Add(day), time.Now().Add(2*day))
	for _, c := range []struct {
		id   *Identity
		want string
	}{{old, over}, {early, "is valid from"}, {member(t, nil), ErrCA.Error()}} {
		if err := c.id.Check(ca.Pool()); !errors.Is(err, ErrCA) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if err := member(t, ca).Check(ca.Pool()); err != nil {
		t.Error(err)
	}
	stale := newHost(t, func(c *Config) { c.Identity, c.Token, c.CA = old, nil, ca.Pool() })
	fresh := newHost(t, func(c *Config) { c.Identity, c.Token, c.CA = member(t, ca), nil, ca.Pool() })
	if _, err := fresh.Connect(t.Context(), stale.Self().Addr); !errors.Is(err, ErrCA) || !strings.Contains(err.Error(), over) {
		t.Errorf("to a host whose certificate is over: %v", err)
	}
}

// A CA is made whole or not at all, and only for a request that it can sign.
func TestSignHost(t *testing.T) {
	request := func(id *Identity) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Cert.Certificate[0]})
	}
	other, err := LoadOrCreateCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "ca")
	for what, r := range map[string][]byte{"no certificate": []byte("x"), "another CA's": request(member(t, other))} {
		if _, _, err := SignHost(dir, r); err == nil {
			t.Errorf("%s: signed", what)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a CA was made: %v", what, err)
		}
	}
	sign := func(wantMade string) []byte {
		t.Helper()
		signed, made, err := SignHost(dir, request(member(t, nil)))
		if err != nil || made != wantMade {
			t.Fatalf("made %q, %v; want %q", made, err, wantMade)
		}
		return signed
	}
	first := sign(dir)
	again := sign("")
	// A full disk left the key alone: what it signed stays good.
	do(t, os.Remove(filepath.Join(dir, CACertFile)))
	sign(filepath.Join(dir, CACertFile))
	pool, err := LoadPool(filepath.Join(dir, CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{first, again} {
		c, err := parseRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyLeaf(c, pool); err != nil {
			t.Error(err)
		}
	}
	do(t, os.Remove(filepath.Join(dir, CAKeyFile)))
	if _, _, err := SignHost(dir, request(member(t, nil))); err == nil || !strings.Contains(err.Error(), CAKeyFile) {
		t.Errorf("a CA whose key is gone: %v", err)
	}
}
