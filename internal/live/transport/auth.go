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
	"net"
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
	ErrRefused  = errors.New("the host is not let in")
	ErrVersion  = errors.New("no common version of the wire")
	ErrTwin     = errors.New("another host lives with this one's key")
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

// Hosts of version 1 of the wire know the first protocol only; it is offered and
// taken so that they can be told apart from hosts that do not answer, and told why
// nothing comes of it.
const (
	alpn      = "sandstream/2"
	alpnFirst = "sandstream/1"
)

// tlsConfig gives the configuration for both roles: TLS 1.3, both sides show
// a certificate, and the host is who has its key. Names and addresses play no
// part. Who signed the certificate is asked after the handshake, when the other
// side can be told in words what is wrong with its own.
func tlsConfig(id *Identity) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{id.Cert},
		NextProtos:             []string{alpn, alpnFirst},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection checks instead: there are no host names here
		SessionTicketsDisabled: true, // resumption would skip the check, and keep state
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, _, err := peerKey(cs)
			return err
		},
	}
}

// peerKey gives the other side's host id, whose key TLS has proven, and its
// certificate.
func peerKey(cs tls.ConnectionState) (wire.HostID, *x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 {
		return wire.HostID{}, nil, errors.New("the other host shows no certificate")
	}
	leaf := cs.PeerCertificates[0]
	key, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return wire.HostID{}, nil, fmt.Errorf("the other host's key is a %T, not an Ed25519 key", leaf.PublicKey)
	}
	id, err := IDOf(key)
	return id, leaf, err
}

// verifyPeer checks the other side's certificate and gives its host id.
func (t *Transport) verifyPeer(cs tls.ConnectionState) (wire.HostID, error) {
	id, leaf, err := peerKey(cs)
	if err != nil {
		return id, err
	}
	if t.cfg.CA != nil {
		if err := verifyLeaf(leaf, t.cfg.CA); err != nil {
			return id, err
		}
	}
	if t.cfg.Admit != nil {
		if err := t.cfg.Admit(id, leaf); err != nil {
			return id, fmt.Errorf("%w: %w", ErrRefused, err)
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

// Reasons for closing a QUIC connection, sent to the other side. Numbers are never
// used anew; those up to codeMalformed are of version 1.
const (
	codeDone quic.ApplicationErrorCode = iota
	codeToken
	codeVersion // with the sender's versions in words
	codeFull
	codeSelf
	codeMalformed
	codeCertificate // with what is wrong with the other side's, in words
	codeRefused     // with why the other side is not let in, in words
	codeTwin        // with a twin, in base64
)

// refusal is an error that the other side is told.
type refusal struct {
	code quic.ApplicationErrorCode
	text string // for the other side
	err  error  // for this one
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refuse makes a refusal whose text is the error's own.
func refuse(code quic.ApplicationErrorCode, err error) *refusal {
	return &refusal{code: code, text: err.Error(), err: err}
}

// refuseBy gives the code of an error of verifyPeer, which the other side is told.
func refuseBy(err error) *refusal {
	switch {
	case errors.Is(err, ErrCA):
		return refuse(codeCertificate, err)
	case errors.Is(err, ErrRefused):
		return refuse(codeRefused, err)
	}
	return refuse(codeMalformed, err)
}

// hangUp closes a connection, and tells the other side why.
func hangUp(conn *quic.Conn, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{code: codeDone}
	}
	text := r.text
	if r.code != codeTwin {
		text = words(text)
	}
	_ = conn.CloseWithError(r.code, text)
}

// explain puts an error of the QUIC library into the user's terms. addr is the
// other side's address.
func (t *Transport) explain(addr string, err error) error {
	var app *quic.ApplicationError
	var crypto *quic.TransportError
	remote := errors.As(err, &app) && app.Remote
	switch {
	case remote && app.ErrorCode == codeToken:
		return fmt.Errorf("host %s refuses this host's join token (%w): it belongs to another overlay; give this host the token that the other was started with", addr, ErrToken)
	case remote && app.ErrorCode == codeVersion:
		return t.versions().refuse(addr, decodeVersions(app.ErrorMessage))
	case remote && app.ErrorCode == codeFull:
		return fmt.Errorf("host %s: %w: join through another member", addr, ErrFull)
	case remote && app.ErrorCode == codeSelf:
		return fmt.Errorf("host %s: %w: name another member", addr, ErrSelf)
	case remote && app.ErrorCode == codeCertificate:
		return fmt.Errorf("host %s refuses this host's certificate (%w): it says: %s: look at both clocks, or have the CA sign it and put it in %s", addr, ErrCA, words(app.ErrorMessage), CertFile)
	case remote && app.ErrorCode == codeRefused:
		return fmt.Errorf("host %s: %w: it says: %s", addr, ErrRefused, words(app.ErrorMessage))
	case remote && app.ErrorCode == codeTwin:
		if err := t.provenTwin(app.ErrorMessage); err != nil {
			return fmt.Errorf("host %s: %w", addr, err)
		}
	case errors.As(err, &crypto) && crypto.Remote && crypto.ErrorCode.IsCryptoError():
		return fmt.Errorf("host %s refuses this host's certificate or its version (%w): have its CA sign it and put it in %s, or run the same version of overlayd: %w", addr, ErrCA, CertFile, err)
	case isTimeout(err):
		return fmt.Errorf("host %s: %w within %v: is overlayd running there, and does a firewall between here and there let UDP port %s through, both ways?", addr, ErrNoAnswer, t.cfg.HandshakeTimeout, portOf(addr))
	}
	return fmt.Errorf("host %s: %w", addr, err)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
