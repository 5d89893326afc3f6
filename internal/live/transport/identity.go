// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"sandstream/internal/overlay/wire"
)

// Files of an identity folder.
const (
	KeyFile  = "host.key" // PKCS #8, PEM, mode 0600
	CertFile = "host.crt" // X.509, PEM: self-signed, or one a CA has signed in its place
)

// Identity is a host's key pair with its certificate. The host's id follows
// from the public key, so that nobody can take another host's id.
type Identity struct {
	ID   wire.HostID
	Cert tls.Certificate
}

// IDOf gives the id of the host with this public key: the first 16 bytes of the
// SHA-256 of its SubjectPublicKeyInfo.
func IDOf(key ed25519.PublicKey) (wire.HostID, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return wire.HostID{}, fmt.Errorf("host id: %w", err)
	}
	sum := sha256.Sum256(der)
	return wire.HostID(sum[:16]), nil
}

// NewIdentity makes a key pair with a self-signed certificate, in memory only.
func NewIdentity() (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	der, err := selfSign(key)
	if err != nil {
		return nil, err
	}
	return newIdentity(key, der)
}

// LoadOrCreateIdentity reads the identity in folder dir, or makes one there.
// The key is readable by its owner only; a key that others could have read is
// refused. A certificate that a CA signed replaces host.crt.
func LoadOrCreateIdentity(dir string) (*Identity, error) {
	keyPath, certPath := filepath.Join(dir, KeyFile), filepath.Join(dir, CertFile)
	key, err := loadKey("host key", keyPath, "to become a new host")
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = createKey("host key", dir, keyPath); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	der, err := loadCert("host certificate", certPath, "to have a self-signed one made")
	if errors.Is(err, fs.ErrNotExist) {
		if der, err = selfSign(key); err != nil {
			return nil, err
		}
		err = writeFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(key, der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certPath, err)
	}
	return id, nil
}

func newIdentity(key ed25519.PrivateKey, der []byte) (*Identity, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("host certificate: %w", err)
	}
	pub := key.Public().(ed25519.PublicKey)
	if have, ok := leaf.PublicKey.(ed25519.PublicKey); !ok || !have.Equal(pub) {
		return nil, fmt.Errorf("host certificate is for another key than %s: remove it to have a self-signed one made, or have the CA sign this key", KeyFile)
	}
	id, err := IDOf(pub)
	if err != nil {
		return nil, err
	}
	return &Identity{ID: id, Cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}, nil
}

// loadKey reads a private key; renew is what its removal is good for.
func loadKey(what, path, renew string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s %s can be read by others (mode %#o): chmod 600 it, or remove it %s", what, path, info.Mode().Perm(), renew)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s %s is no PEM private key: remove it %s", what, path, renew)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s %s is a %T, not an Ed25519 key: remove it %s", what, path, k, renew)
	}
	return key, nil
}

func createKey(what, dir, path string) (ed25519.PrivateKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return key, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func loadCert(what, path, renew string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s %s is no PEM certificate: remove it %s", what, path, renew)
	}
	return block.Bytes, nil
}

// writeFile writes in one step: a crash leaves the whole file or none.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // it is gone after the rename
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// selfSign makes the certificate that carries the public key when no CA does.
func selfSign(key ed25519.PrivateKey) ([]byte, error) {
	return signCert(key.Public().(ed25519.PublicKey), key, nil)
}

// signCert makes a certificate for a host's key, signed by ca, or by itself if
// ca is nil.
func signCert(pub ed25519.PublicKey, signer ed25519.PrivateKey, ca *x509.Certificate) ([]byte, error) {
	id, err := IDOf(pub)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("host certificate: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.Hex()},
		NotBefore:    time.Now().Add(-time.Hour), // clocks differ
		NotAfter:     time.Now().AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ca == nil {
		ca = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("host certificate: %w", err)
	}
	return der, nil
}
