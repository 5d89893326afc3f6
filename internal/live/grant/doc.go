// SPDX-License-Identifier: Apache-2.0

// Package grant is how a stream's key comes from its publisher to a reader: what the two
// say to one another, sealed and signed. The hosts in between carry it (the core's
// messages key-ask and key-grant), and see neither the key nor a way to another answer.
//
// An Ask is, big-endian,
//
//	0  1  version = 1
//	1  1  role: 0 reads, 1 seals as well: a stage of the stream's pipeline runs there
//	2  4  the least epoch that is wanted
//	6 32  a fresh X25519 public key
//	38 32 the asker's Ed25519 public key, from which its host id follows
//	70 2  length of the certificate, then that many bytes: X.509, DER; 0 if none
//	 + 64 Ed25519 signature over "sandstream key ask 2", publisher's host id, stream
//	      id, and all before it
//
// The answer is
//
//	0  1  version = 1
//	1  1  1: granted; 2: refused; 3: refused since the asker was put out
//	2 32  the publisher's Ed25519 public key
//	34 2  length, then that many bytes: of a grant the keys, encrypted by HPKE
//	      (RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base
//	      mode, the key's 32 bytes in front) to the ask's X25519 key; of a refusal the
//	      reason, a text
//	 + 64 Ed25519 signature over "sandstream key grant 2", stream id, SHA-256 of the
//	      ask, and all before it
//
// where keys are, each, suite u8, epoch u32, secret 32 bytes; at most 4. HPKE's info is
// "sandstream stream key 2", stream id, asker's host id, publisher's host id.
//
// An ask that is sent again by somebody else brings its keys to the one who made it; an
// answer fits one ask alone. Decoders are strict and bounded (MaxAsk, MaxAnswer).
package grant
