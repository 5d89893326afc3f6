// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// video is 4 s of H.264 and sound in MPEG-TS of constant rate, by ffmpeg; the test is
// skipped without it.
func video(t *testing.T) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no video to try: ffmpeg is not installed")
	}
	return ffmpeg(t, nil, "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=4",
		"-f", "lavfi", "-i", "sine=frequency=440:duration=4", "-c:v", "libx264", "-preset", "veryfast", "-g", "25",
		"-bf", "2", "-c:a", "mp2", "-b:a", "64k", "-muxrate", "2M", "-f", "mpegts", "-")
}

func ffmpeg(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-v", "error", "-threads", "1"}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	// With -v error it is silent unless something is wrong.
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// frames decodes and gives a checksum of each picture or piece of sound.
func frames(t *testing.T, ts []byte, kind string) []string {
	t.Helper()
	out := ffmpeg(t, ts, "-f", "mpegts", "-i", "-", "-map", "0:"+kind, "-fps_mode", "passthrough", "-f", "framemd5", "-")
	var sums []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(line, ","); line[0] != '#' {
			sums = append(sums, strings.TrimSpace(f[len(f)-1]))
		}
	}
	return sums
}

// packets cuts a stream into datagrams of 7 MPEG-TS packets.
func packets(ts []byte) [][]byte {
	var out [][]byte
	for p := range slices.Chunk(ts, 7*188) {
		out = append(out, datagram(uint64(len(out)+1), 0, p))
	}
	return out
}

// through sends datagrams through an SPA; payloads of what comes out.
func through(t *testing.T, in *Instance, pkts [][]byte) (got sink, payload []byte) {
	t.Helper()
	if err := in.Batch(pkts, got.emit); err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		payload = append(payload, g.pkt[HeaderLen:]...)
	}
	return got, payload
}

// A real stream through filter: without null packets every picture is the
// same; of key frames alone each decodes, and is one of the pictures that were.
func TestFilterVideo(t *testing.T) {
	ts := video(t)
	p := NewPortable(t.Context())
	defer p.Close()
	pictures, pieces := frames(t, ts, "v"), frames(t, ts, "a")

	in := load(t, p, "filter", nil, Limits{})
	got, less := through(t, in, packets(ts))
	c := in.Counters()
	t.Logf("null packets: %d of %d bytes remain, %d pictures", len(less), len(ts), len(pictures))
	if len(less) >= len(ts) || c["null_ts"] == 0 || len(got) != (len(ts)+1315)/1316 {
		t.Errorf("nothing was taken out: %v", c)
	}
	if v := frames(t, less, "v"); !slices.Equal(v, pictures) {
		t.Errorf("without null packets %d pictures of %d, or others", len(v), len(pictures))
	}
	if a := frames(t, less, "a"); !slices.Equal(a, pieces) {
		t.Errorf("without null packets %d pieces of sound of %d, or others", len(a), len(pieces))
	}

	keys := load(t, p, "filter", nil, Limits{})
	if err := keys.Set("keyframes", 1); err != nil {
		t.Fatal(err)
	}
	_, least := through(t, keys, packets(ts))
	v := frames(t, least, "v")
	t.Logf("key frames: %d bytes remain, %d pictures", len(least), len(v))
	if len(v) != 4 || len(least) > len(less)/2 {
		t.Errorf("%d pictures in 4 s with a key frame each second; %d bytes of %d", len(v), len(least), len(less))
	}
	for i, sum := range v {
		if !slices.Contains(pictures, sum) {
			t.Errorf("picture %d is none of those that were", i)
		}
	}
	if a := frames(t, least, "a"); !slices.Equal(a, pieces) {
		t.Errorf("key frames: %d pieces of sound of %d, or others", len(a), len(pieces))
	}
}

// split, two links that differ, merge; with compression around it: the same bytes.
func TestPipeline(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		now := uint64(1e9)
		p.clock = func() uint64 { return now }
		r := rand.New(rand.NewPCG(5, 6))
		var pkts [][]byte
		for i := range 3000 {
			pkts = append(pkts, datagram(uint64(i+1), 0, bytes.Repeat([]byte{byte(i), byte(i >> 8), 'x'}, r.IntN(400))))
		}
		pack, unpack := load(t, p, "transform", nil, Limits{}), load(t, p, "transform", nil, Limits{})
		split, merge := load(t, p, "split", nil, Limits{}), load(t, p, "merge", nil, Limits{})
		for _, s := range []struct {
			in    *Instance
			param string
			value uint64
		}{{unpack, "expand", 1}, {split, "weight0", 3}, {split, "ip0", Addr(0)}, {split, "ip1", Addr(1)}} {
			if err := s.in.Set(s.param, s.value); err != nil {
				t.Fatal(err)
			}
		}
		packed, _ := through(t, pack, pkts)
		// Link 1 is 10 packets behind link 0, and some arrive twice.
		var links [2][][]byte
		var merged sink
		for i, s := range packed {
			if err := split.Batch([][]byte{s.pkt}, func(out int, pkt []byte) {
				links[out] = append(links[out], bytes.Clone(pkt))
				if int(binary.BigEndian.Uint16(pkt[52:])) != out {
					t.Fatalf("path %d in a packet of link %d", pkt[3], out)
				}
			}); err != nil {
				t.Fatal(err)
			}
			var arrived [][]byte
			if len(links[0]) > 0 {
				arrived, links[0] = append(arrived, links[0]...), nil
			}
			if n := len(links[1]); n > 10 || i == len(packed)-1 {
				arrived, links[1] = append(arrived, links[1]...), nil
			}
			if len(arrived) > 0 && r.IntN(5) == 0 {
				arrived = append(arrived, arrived[0])
			}
			now += 1e5
			if err := merge.Batch(arrived, merged.emit); err != nil {
				t.Fatal(err)
			}
		}
		now += 1e9
		if err := merge.Tick(merged.emit); err != nil {
			t.Fatal(err)
		}
		if len(merged) != len(pkts) {
			t.Fatalf("%d of %d came through: %v", len(merged), len(pkts), merge.Counters())
		}
		var back [][]byte
		for _, m := range merged {
			back = append(back, m.pkt)
		}
		out, _ := through(t, unpack, back)
		for i, o := range out {
			if !bytes.Equal(o.pkt[HeaderLen:], pkts[i][HeaderLen:]) || !bytes.Equal(o.pkt[8:52], pkts[i][8:52]) {
				t.Fatalf("packet %d differs", i+1)
			}
		}
		c := split.Counters()
		if c["packets0"] != 2250 || c["packets1"] != 750 || pack.Counters()["compressed"] < 1000 || merge.Counters()["waited"] == 0 {
			t.Errorf("split %v\nmerge %v", c, merge.Counters())
		}
	})
}

// Sixteen children: each gets every packet, in order.
func TestMulticast(t *testing.T) {
	each(t, func(t *testing.T, p *Portable) {
		in := load(t, p, "multicast", nil, Limits{Frames: 2048})
		for i := range 16 {
			if err := in.AddOutput(i + 1); err != nil {
				t.Fatal(err)
			}
		}
		pkts := packets(make([]byte, 500*7*188))
		var next [17]int
		err := in.Batch(pkts, func(out int, pkt []byte) {
			if !bytes.Equal(pkt, pkts[next[out]]) {
				t.Fatalf("output %d: packet %d differs", out, next[out])
			}
			next[out]++
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 16 {
			if next[i+1] != 500 {
				t.Errorf("output %d got %d of 500: %v", i+1, next[i+1], in.Counters())
			}
		}
	})
}

// monitor tells the daemon what it needs, by name.
func TestMonitor(t *testing.T) {
	p := NewPortable(t.Context())
	defer p.Close()
	now := uint64(1e9)
	p.clock = func() uint64 { return now }
	in := load(t, p, "monitor", nil, Limits{})
	for i := range uint64(2000) {
		if i%20 == 7 {
			continue
		}
		if err := in.Batch([][]byte{datagram(i+1, 0, make([]byte, 1000))}, nil); err != nil {
			t.Fatal(err)
		}
		if now += 1e6; i%100 == 0 {
			if err := in.Tick(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := in.Counters()
	if c["s0_packets"] != 1900 || c["s0_lost"] != 100 || c["s0_rate"] < 7.5e6 || c["s0_rate"] > 8.5e6 || c["streams"] != 1 {
		t.Errorf("%v", c)
	}
}
