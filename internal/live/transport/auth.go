// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quic-go/quic-go"

	"sandstream/internal/overlay/wire"
)

// Why a host is not spoken to, for errors.Is.
var (
	ErrToken    = errors.New("wrong join token")
	ErrCA       = errors.New("certificate not signed by the overlay's CA")
	ErrOtherID  = errors.New("another host answers at this address")
	ErrSelf     = errors.New("the address is this host's own")
	ErrVersion  = errors.New("no common version of the handshake")
	ErrFull     = errors.New("the host has as many peers as it takes")
	ErrClosed   = errors.New("the transport is closed")
	ErrTooLong  = errors.New("the message is too long")
	ErrNoAnswer = errors.New("no answer")

	errForgotten = errors.New("the peer was forgotten meanwhile")
)

// Token is the join token: a secret that all hosts of an overlay know. It is
// proven, never sent.
type Token []byte

const tokenPrefix = "sandstream-"

// NewToken makes a token of 256 random bits.
func NewToken() Token {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return Token(tokenPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])))
}

// ParseToken reads a token as NewToken made it, with any white space around.
// A secret of one's own is taken too if it has at least 32 characters: whoever
// meets a member's proof can try guesses on it, so it must not be guessable.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	if len(s) < 32 || len(s) > 256 {
		return nil, fmt.Errorf("join token of %d characters: it has 32 to 256; make one with `overlayd token`", len(s))
	}
	return Token(s), nil
}

func (t Token) String() string { return string(t) }

// side says who proves: a proof can not be sent back to who made it.
type side string

const (
	dialler  side = "dialler"
	listener side = "listener"
)

// proof binds the token to one TLS session and to both hosts.
func (t Token) proof(s side, exported []byte, dial, listen wire.HostID) [32]byte {
	key := hmac.New(sha256.New, []byte("sandstream join token v1"))
	key.Write(t)
	m := hmac.New(sha256.New, key.Sum(nil))
	m.Write([]byte(s))
	m.Write(exported)
	m.Write(dial[:])
	m.Write(listen[:])
	return [32]byte(m.Sum(nil))
}

const alpn = "sandstream/1"

// tlsConfig gives the configuration for both roles: TLS 1.3, both sides show
// a certificate, and the host is who has its key. Names and addresses play no
// part.
func tlsConfig(id *Identity, ca *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{id.Cert},
		NextProtos:             []string{alpn},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection checks instead: there are no host names here
		SessionTicketsDisabled: true, // resumption would skip the check, and keep state
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := verifyPeer(cs, ca)
			return err
		},
	}
}

// verifyPeer checks the other side's certificate and gives its host id.
func verifyPeer(cs tls.ConnectionState, ca *x509.CertPool) (wire.HostID, error) {
	if len(cs.PeerCertificates) == 0 {
		return wire.HostID{}, errors.New("the other host shows no certificate")
	}
	leaf := cs.PeerCertificates[0]
	key, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return wire.HostID{}, fmt.Errorf("the other host's key is a %T, not an Ed25519 key", leaf.PublicKey)
	}
	id, err := IDOf(key)
	if err != nil {
		return wire.HostID{}, err
	}
	if ca != nil {
		if err := verifyLeaf(leaf, ca); err != nil {
			return id, fmt.Errorf("host %s: %w", id.Hex(), err)
		}
	}
	return id, nil
}

// verifyLeaf says why a certificate does not let its host in: an ErrCA.
func verifyLeaf(leaf *x509.Certificate, ca *x509.CertPool) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: ca, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		whose, c := "certificate", invalid.Cert
		if c.IsCA {
			whose = "the CA's certificate"
		}
		if time.Now().Before(c.NotBefore) {
			return certError{fmt.Sprintf("%s is valid from %s on only: is the clock right?", whose, c.NotBefore.Format(time.DateTime))}
		}
		return certError{fmt.Sprintf("%s expired on %s", whose, c.NotAfter.Format(time.DateOnly))}
	}
	return fmt.Errorf("%w: %w", ErrCA, err)
}

// certError is an ErrCA for another reason than the signature.
type certError struct{ text string }

func (e certError) Error() string { return e.text }
func (certError) Unwrap() error   { return ErrCA }

// Check says why hosts that trust ca would not let this one in.
func (id *Identity) Check(ca *x509.CertPool) error { return verifyLeaf(id.Cert.Leaf, ca) }

// Reasons for closing a QUIC connection, sent to the other side.
const (
	codeDone quic.ApplicationErrorCode = iota
	codeToken
	codeVersion
	codeFull
	codeSelf
	codeMalformed
)

// explain puts an error of the QUIC library into the user's terms. addr is the
// other side's address.
func explain(addr string, err error) error {
	var app *quic.ApplicationError
	var crypto *quic.TransportError
	switch {
	case errors.As(err, &app) && app.Remote && app.ErrorCode == codeToken:
		return fmt.Errorf("host %s refuses this host's join token (%w): it belongs to another overlay; give this host the token that the other was started with", addr, ErrToken)
	case errors.As(err, &app) && app.Remote && app.ErrorCode == codeVersion:
		return fmt.Errorf("host %s: %w: run the same version of overlayd on both", addr, ErrVersion)
	case errors.As(err, &app) && app.Remote && app.ErrorCode == codeFull:
		return fmt.Errorf("host %s: %w: join through another member", addr, ErrFull)
	case errors.As(err, &app) && app.Remote && app.ErrorCode == codeSelf:
		return fmt.Errorf("host %s: %w: name another member", addr, ErrSelf)
	case errors.As(err, &crypto) && crypto.Remote && crypto.ErrorCode.IsCryptoError():
		return fmt.Errorf("host %s refuses this host's certificate (%w): have its CA sign it and put it in %s: %w", addr, ErrCA, CertFile, err)
	case isTimeout(err):
		return fmt.Errorf("host %s: %w: is overlayd running there, and does a firewall let its UDP ports through?", addr, ErrNoAnswer)
	}
	return fmt.Errorf("host %s: %w", addr, err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
