// SPDX-License-Identifier: Apache-2.0

// Package seal seals the payload of a stream's packets from end to end: from the
// publisher, or a host that was given the key to run an SPA, to those who read.
//
// # Keys
//
// The publisher makes a Key for each epoch: 32 random bytes, which package grant
// carries to those it admits. Nothing is sealed under it. Each sealer has a key of its
// own, by HKDF-SHA256 (RFC 5869):
//
//	ikm  = the stream's key of the epoch
//	salt = stream id, 16 bytes
//	info = "sandstream stream 2", suite u8, epoch u32, sealer u64, big-endian
//	len  = 16 (AES-128-GCM) or 32 (ChaCha20-Poly1305)
//
// The packet's header names epoch and sealer, so that who has the stream's key derives
// the sealer's with no word from it. The sealer's number is the first 8 bytes of
//
//	SHA-256("sandstream sealer 2", host id, stage u16, salt)
//
// with 16 fresh random bytes of salt each time that a sealer begins: at the publisher,
// at each stage of a pipeline, after each restart, and when the numbers of what is to be
// sealed go back. The shape is that of SFrame (RFC 9605), with the key's number in two
// parts.
//
// # Nonces
//
// The nonce is four zero bytes and the packet's number. A number is used once under a
// key: two sealers, two starts of one, and two epochs have different keys, and a Sealer
// refuses a number that it has used (a window of replay.Size numbers; what is further
// back makes it begin anew, with another key).
//
// Associated data are the first 52 bytes of the header (package frame).
//
// # Suites
//
// The publisher chooses: AES-128-GCM where it has AES in hardware, else
// ChaCha20-Poly1305. Readers follow.
package seal
