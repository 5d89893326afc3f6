// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"sandstream/internal/cli"
	"sandstream/overlayapi/overlayv1"
)

func indent(w io.Writer, b []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(w)
	return err
}

// short is a host's id the way people read it.
func short(h *overlayv1.Host) string {
	id := h.GetId()
	if len(id) > 8 {
		id = id[:8]
	}
	return cli.Or(id)
}

func microseconds(us uint64) string {
	return (time.Duration(us) * time.Microsecond).String()
}

// latency is a time, or a dash where nothing was measured.
func latency(us uint32) string {
	if us == 0 {
		return "-"
	}
	if us >= 10_000 {
		return fmt.Sprintf("%.1fms", float64(us)/1000)
	}
	return fmt.Sprintf("%.2fms", float64(us)/1000)
}

// percent writes parts per million as people do.
func percent(ppm uint32) string {
	s := fmt.Sprintf("%.4f", float64(ppm)/10_000)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".") + "%"
}

// hosts counts hosts.
func hosts(n uint32) string {
	if n == 1 {
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}

// octets is a size, or a dash where none is known.
func octets(n uint32) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// rate writes bits per second.
func rate(bps uint64) string {
	switch {
	case bps == 0:
		return "-"
	case bps < 1000:
		return fmt.Sprintf("%dbit/s", bps)
	case bps < 1_000_000:
		return fmt.Sprintf("%.1fkbit/s", float64(bps)/1e3)
	case bps < 1_000_000_000:
		return fmt.Sprintf("%.2fMbit/s", float64(bps)/1e6)
	}
	return fmt.Sprintf("%.2fGbit/s", float64(bps)/1e9)
}

// digits lists the ids of zones.
func digits(zones []*overlayv1.Zone) string {
	var s []string
	for _, z := range zones {
		s = append(s, z.Digits)
	}
	return cli.Or(strings.Join(s, " "))
}

// via lists the hosts of a path after the publisher.
func via(path []*overlayv1.Hop) string {
	var s []string
	for _, h := range path {
		s = append(s, short(h.Host))
	}
	return cli.Or(strings.Join(s, " "))
}
