// SPDX-License-Identifier: Apache-2.0

// Package payload cuts a byte stream into the payloads of a stream's packets,
// and knows where a decoder of an MPEG transport stream can start.
//
// A transport stream (ISO/IEC 13818-1) is cut into seven packets of 188 bytes,
// as senders over UDP do; anything else into 1,316 bytes, the same size.
package payload

// Sizes in bytes.
const (
	Max      = 1316 // a payload that is cut out of a byte stream
	tsPacket = 188
	tsSync   = 0x47
)

// IsTS says whether p is whole MPEG-TS packets and nothing else.
func IsTS(p []byte) bool {
	if len(p) == 0 || len(p)%tsPacket != 0 {
		return false
	}
	for i := 0; i < len(p); i += tsPacket {
		if p[i] != tsSync {
			return false
		}
	}
	return true
}

// RandomAccess says whether a decoder of video can start in p: p is MPEG-TS, and
// in one of its packets a video access unit begins (a PES of stream 0xe0 to
// 0xef) whose adaptation field has the random_access_indicator. Every access
// unit of audio has it too; it does not count.
func RandomAccess(p []byte) bool {
	if !IsTS(p) {
		return false
	}
	for ; len(p) > 0; p = p[tsPacket:] {
		// Byte 3: adaptation_field_control's upper bit says that there is a field;
		// byte 4 its length, byte 5 its flags.
		if p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x40 != 0 && video(p) {
			return true
		}
	}
	return false
}

// video says whether a PES of video begins in the TS packet p.
func video(p []byte) bool {
	at := 4
	if p[3]&0x20 != 0 {
		at += 1 + int(p[4])
	}
	// Byte 1: payload_unit_start_indicator; byte 3: there is payload.
	return p[1]&0x40 != 0 && p[3]&0x10 != 0 && at+4 <= tsPacket &&
		p[at] == 0 && p[at+1] == 0 && p[at+2] == 1 && p[at+3]&0xf0 == 0xe0
}

// Null says whether all of p is MPEG-TS stuffing (PID 0x1fff): it may be dropped.
func Null(p []byte) bool {
	if !IsTS(p) {
		return false
	}
	for ; len(p) > 0; p = p[tsPacket:] {
		if p[1]&0x1f != 0x1f || p[2] != 0xff {
			return false
		}
	}
	return true
}
