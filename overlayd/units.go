// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"strconv"
	"strings"

	"sandstream/internal/fail"
	"sandstream/overlayapi/overlayv1"
)

// parseRate reads bits per second: 800k, 2M, 1.5G, or a plain number.
func parseRate(s string) (uint64, error) {
	digits, factor := strings.TrimSuffix(s, "bit/s"), 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9} {
		if d, ok := strings.CutSuffix(digits, suffix); ok {
			digits, factor = d, f
			break
		}
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || v < 0 || v*factor > 1e15 || math.IsNaN(v) {
		return 0, fail.Usagef("%q is no rate: bits per second, e.g. 800k, 2M, 1.5G", s)
	}
	return uint64(v*factor + 0.5), nil
}

// parseLoss reads a share: 0.5% or 5000ppm.
func parseLoss(s string) (uint32, error) {
	for suffix, f := range map[string]float64{"%": 1e4, "ppm": 1} {
		d, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		if v, err := strconv.ParseFloat(d, 64); err == nil && v >= 0 && v*f <= 1e6 {
			return uint32(v*f + 0.5), nil
		}
	}
	return 0, fail.Usagef("%q is no loss: a share from 0%% to 100%%, e.g. 0.5%% or 5000ppm", s)
}

// parseSplit reads two weights: 3:1. Without any the stream is not split.
func parseSplit(s string) ([]uint32, error) {
	if s == "" {
		return nil, nil
	}
	a, b, ok := strings.Cut(s, ":")
	w0, err0 := strconv.ParseUint(a, 10, 16)
	w1, err1 := strconv.ParseUint(b, 10, 16)
	if !ok || err0 != nil || err1 != nil || w0 == 0 || w1 == 0 {
		return nil, fail.Usagef("--split %q is not two weights from 1 to 65535, e.g. 3:1", s)
	}
	return []uint32{uint32(w0), uint32(w1)}, nil
}

// parseStage reads NAME[:PARAM=N,...][@PLACE].
func parseStage(s string) (*overlayv1.Stage, error) {
	rest, place, placed := strings.Cut(s, "@")
	name, params, _ := strings.Cut(rest, ":")
	st := &overlayv1.Stage{Spa: name, Params: map[string]uint64{}, Place: "source"}
	if placed {
		st.Place = place
	}
	switch {
	case name == "":
		return nil, fail.Usagef("--spa %q names no SPA: NAME[:PARAM=N,...][@source|sink|anywhere]", s)
	case st.Place != "source" && st.Place != "sink" && st.Place != "anywhere":
		return nil, fail.Usagef("--spa %q: place %q is not source, sink or anywhere", s, st.Place)
	}
	for p := range strings.SplitSeq(params, ",") {
		if p == "" {
			continue
		}
		k, v, ok := strings.Cut(p, "=")
		n, err := strconv.ParseUint(v, 0, 64)
		if !ok || k == "" || err != nil {
			return nil, fail.Usagef("--spa %q: %q is not PARAM=NUMBER", s, p)
		}
		if _, twice := st.Params[k]; twice {
			return nil, fail.Usagef("--spa %q sets %s twice", s, k)
		}
		st.Params[k] = n
	}
	return st, nil
}
