// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sandstream/internal/host/shm"
)

// parseParam reads a value in the notation of its type.
func parseParam(typ uint32, text string) (uint64, error) {
	switch typ {
	case shm.ParamU64:
		v, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number from 0 to 2^64-1", text)
		}
		return v, nil
	case shm.ParamBool:
		switch strings.ToLower(text) {
		case "1", "true", "on", "yes":
			return 1, nil
		case "0", "false", "off", "no":
			return 0, nil
		}
		return 0, fmt.Errorf("%q is neither on nor off", text)
	case shm.ParamIPv4:
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() {
			return 0, fmt.Errorf("%q is not an IPv4 address", text)
		}
		b := a.As4()
		return uint64(binary.LittleEndian.Uint32(b[:])), nil
	case shm.ParamMAC:
		m, err := parseMAC(text)
		if err != nil {
			return 0, err
		}
		var b [8]byte
		copy(b[:], m[:])
		return binary.LittleEndian.Uint64(b[:]), nil
	}
	return 0, fmt.Errorf("its type %d is unknown to this program", typ)
}

// formatParam is the inverse of parseParam.
func formatParam(typ uint32, v uint64) string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	switch typ {
	case shm.ParamBool:
		if v == 0 {
			return "off"
		}
		return "on"
	case shm.ParamIPv4:
		return netip.AddrFrom4([4]byte(b[:4])).String()
	case shm.ParamMAC:
		return net.HardwareAddr(b[:6]).String()
	}
	return strconv.FormatUint(v, 10)
}

func parseMAC(text string) (m [6]byte, err error) {
	hw, err := net.ParseMAC(text)
	if err != nil || len(hw) != 6 {
		return m, fmt.Errorf("%q is not a MAC address (52:54:00:12:34:56)", text)
	}
	return [6]byte(hw), nil
}
