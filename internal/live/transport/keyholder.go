// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ed25519"
	"crypto/x509"

	"sandstream/internal/live/grant"
)

// Keyholder is this host as it asks for streams' keys, and gives its own.
func (t *Transport) Keyholder() grant.Self {
	s := grant.Self{ID: t.self.ID, Cert: t.cfg.Identity.Cert.Leaf.Raw}
	s.Key, _ = t.cfg.Identity.Cert.PrivateKey.(ed25519.PrivateKey) // no other kind is loaded
	return s
}

// NameIn is the name in a host's certificate, "" if there is no CA, or it did not sign it.
func (t *Transport) NameIn(c *x509.Certificate) string {
	if t.cfg.CA == nil || verifyLeaf(c, t.cfg.CA) != nil {
		return ""
	}
	return c.Subject.CommonName
}
