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
	ca, _, err := openCA(dir, func() error { return nil })
	return ca, err
}

// openCA reads the CA in folder dir, or makes what of it is missing if allowed agrees; made
// is the file that was made.
func openCA(dir string, allowed func() error) (ca *CA, made string, err error) {
	keyPath, certPath := filepath.Join(dir, CAKeyFile), filepath.Join(dir, CACertFile)
	const renew = "to have one made"
	key, keyErr := loadKey("CA key", keyPath, renew+"; no host of the overlay will know it")
	der, certErr := loadCert("CA certificate", certPath, renew)
	noKey, noCert := errors.Is(keyErr, fs.ErrNotExist), errors.Is(certErr, fs.ErrNotExist)
	switch {
	case keyErr != nil && !noKey:
		return nil, "", keyErr
	case certErr != nil && !noCert:
		return nil, "", certErr
	case noKey && !noCert:
		return nil, "", fmt.Errorf("%s is there, but not the key it belongs to: put %s back, or name an empty folder for a new CA", certPath, keyPath)
	case !noCert:
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, "", fmt.Errorf("CA certificate %s: %w", certPath, err)
		}
		if pub, ok := cert.PublicKey.(ed25519.PublicKey); !ok || !pub.Equal(key.Public()) {
			return nil, "", fmt.Errorf("CA certificate %s is for another key than %s: remove it %s", certPath, keyPath, renew)
		}
		return &CA{key, cert}, "", nil
	}
	if err := allowed(); err != nil {
		return nil, "", err
	}
	made = certPath // of a key that an earlier try left alone
	if noKey {
		if key, err = createKey("CA key", dir, keyPath); err != nil {
			return nil, "", err
		}
		made = dir
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Sandstream overlay"},
		NotBefore:    time.Now().Add(-time.Hour), // clocks differ
		NotAfter:     time.Now().AddDate(20, 0, 0),
		KeyUsage:     x509.KeyUsageCertSign,
		IsCA:         true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	if der, err = x509.CreateCertificate(rand.Reader, t, t, key.Public(), key); err != nil {
		return nil, "", fmt.Errorf("CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, "", fmt.Errorf("CA certificate: %w", err)
	}
	if err := writeFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, "", err
	}
	return &CA{key, cert}, made, nil
}

// SignHost signs with the CA in folder dir, see CA.Sign. Without one it makes one, if
// request is good for it; made is the folder or the file of it that was made.
func SignHost(dir string, request []byte) (signed []byte, made string, err error) {
	c, err := parseRequest(request)
	if err != nil {
		return nil, "", err
	}
	ca, made, err := openCA(dir, func() error { return selfSigned(c) })
	if err != nil {
		return nil, "", err
	}
	signed, err = ca.sign(c)
	return signed, made, err
}

// Sign makes the certificate that lets a host in. request is the host's
// host.crt, self-signed, which proves that the host has the key, or signed by this CA
// before; the result replaces it.
func (ca *CA) Sign(request []byte) ([]byte, error) {
	c, err := parseRequest(request)
	if err != nil {
		return nil, err
	}
	return ca.sign(c)
}

func parseRequest(request []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("sign host: not a PEM certificate: give the host's %s", CertFile)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sign host: %w", err)
	}
	if _, ok := c.PublicKey.(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("sign host: its key is a %T, not an Ed25519 key", c.PublicKey)
	}
	if c.IsCA {
		return nil, fmt.Errorf("sign host: this is a CA's certificate: give the host's %s", CertFile)
	}
	return c, nil
}

func selfSigned(c *x509.Certificate) error {
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return fmt.Errorf("sign host: the certificate is neither self-signed nor signed by this CA, so it does not show that the host has the key: "+
			"on the host, remove %s and let 'overlayd identity' make a self-signed one", CertFile)
	}
	return nil
}

func (ca *CA) sign(c *x509.Certificate) ([]byte, error) {
	if c.CheckSignatureFrom(ca.cert) != nil { // else the host showed its key the first time
		if err := selfSigned(c); err != nil {
			return nil, err
		}
	}
	der, err := signCert(c.PublicKey.(ed25519.PublicKey), ca.key, ca.cert)
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
