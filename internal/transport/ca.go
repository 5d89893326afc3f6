// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ed25519"
	"crypto/rand"
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
)

// Files of a CA's folder.
const (
	CAKeyFile  = "ca.key" // PKCS #8, PEM, mode 0600: stays with the overlay's operator
	CACertFile = "ca.crt" // X.509, PEM: goes to every host
)

// CA signs the certificates of an overlay's hosts, in place of a join token or
// beside it: a host can then be let in without being told a secret.
type CA struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
}

// LoadOrCreateCA reads the CA in folder dir, or makes one there.
func LoadOrCreateCA(dir string) (*CA, error) {
	keyPath, certPath := filepath.Join(dir, CAKeyFile), filepath.Join(dir, CACertFile)
	key, err := loadKey(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return createCA(dir, keyPath, certPath)
	} else if err != nil {
		return nil, err
	}
	der, err := loadCert(certPath)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("CA certificate %s: %w", certPath, err)
	}
	return &CA{key, cert}, nil
}

func createCA(dir, keyPath, certPath string) (*CA, error) {
	key, err := createKey(dir, keyPath)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Sandstream overlay"},
		NotBefore:    time.Now().Add(-time.Hour), // clocks differ
		NotAfter:     time.Now().AddDate(20, 0, 0),
		KeyUsage:     x509.KeyUsageCertSign,
		IsCA:         true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	return &CA{key, cert}, writeFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// Sign makes the certificate that lets a host in. request is the host's
// host.crt, self-signed, which proves that the host has the key; the result
// replaces it.
func (ca *CA) Sign(request []byte) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("sign host: not a PEM certificate: give the host's %s", CertFile)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sign host: %w", err)
	}
	pub, ok := c.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign host: its key is a %T, not an Ed25519 key", c.PublicKey)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return nil, fmt.Errorf("sign host: the certificate is not self-signed, so it does not show that the host has the key: %w", err)
	}
	der, err := signCert(pub, ca.key, ca.cert)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// Pool is for Config.CA.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// LoadPool reads a CA's certificate for Config.CA.
func LoadPool(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("CA certificate %s: no PEM certificate in it", path)
	}
	return pool, nil
}
