// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/sha256"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	first, err := LoadOrCreateIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != again.ID {
		t.Errorf("the host is %s, and then %s", first.ID.Hex(), again.ID.Hex())
	}
	der, err := x509.MarshalPKIXPublicKey(first.Cert.Leaf.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(der); string(first.ID[:]) != string(sum[:16]) {
		t.Error("the id is not the digest of the key")
	}
	info, err := os.Stat(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %#o", info.Mode().Perm())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestBadIdentity(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, key, cert string)
	}{
		{"readable key", "chmod 600", func(t *testing.T, key, _ string) { do(t, os.Chmod(key, 0o644)) }},
		{"no key", "no PEM private key", func(t *testing.T, key, _ string) { do(t, os.WriteFile(key, []byte("x"), 0o600)) }},
		{"no certificate", "no PEM certificate", func(t *testing.T, _, cert string) { do(t, os.WriteFile(cert, []byte("x"), 0o600)) }},
		{"other key", "for another key", func(t *testing.T, key, _ string) {
			other := t.TempDir()
			if _, err := LoadOrCreateIdentity(other); err != nil {
				t.Fatal(err)
			}
			do(t, os.Rename(filepath.Join(other, KeyFile), key))
		}},
	} {
		dir := t.TempDir()
		if _, err := LoadOrCreateIdentity(dir); err != nil {
			t.Fatal(err)
		}
		c.spoil(t, filepath.Join(dir, KeyFile), filepath.Join(dir, CertFile))
		if _, err := LoadOrCreateIdentity(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	tok := NewToken()
	back, err := ParseToken(" " + tok.String() + "\n")
	if err != nil || back.String() != tok.String() {
		t.Errorf("%q came back as %q, %v", tok, back, err)
	}
	if NewToken().String() == tok.String() {
		t.Error("two tokens are the same")
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", 31), strings.Repeat("x", 300)} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("token %q is taken", bad)
		}
	}
}
