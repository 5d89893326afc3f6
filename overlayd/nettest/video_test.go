// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi/overlayv1"
)

const (
	muxRate      = 1_500_000 // bit/s
	videoSeconds = 20
	payloadSize  = 1316
	tsSize       = 188 // a payload of the video is 1 to 7 of these
)

// viewer is a subscriber of the video.
type viewer struct {
	host  int
	what  string
	flags []string // of overlayd subscribe
	// Words of the reason for which it must be refused, or for which the contract must
	// come to be violated; both empty: it must be met.
	refused, violated string
	// The bound on loss, 0 without. A path that turns out to cross a bad line must then be
	// seen to violate the contract.
	lossBound float64
	clean     bool // the video must decode without a complaint if no bad line is crossed

	process     *process
	file        string
	talk        output
	first, last *overlayv1.Subscription // at the begin and end of the interval that is compared
	means       []uint32
	states      []string
}

// viewers are eight subscribers who want different things; some are impossible.
func viewers(m netem.Matrix) []*viewer {
	half := func(i int) string { return strconv.Itoa(int(m[publisher][i].Delay.Microseconds()/2)) + "us" }
	return []*viewer{
		{host: 1, what: "anything", clean: true},
		{host: 3, what: "≤ 400 ms, ≤ 1 % loss", flags: []string{"--latency", "400ms", "--loss", "1%"}, lossBound: .01, clean: true},
		{host: 5, what: "≤ 300 ms, ≥ 1 Mbit/s", flags: []string{"--latency", "300ms", "--min-rate", "1M"}, clean: true},
		{host: 7, what: "half the light's time", flags: []string{"--latency", half(7)}, refused: "the path takes"},
		{host: 9, what: "≥ 50 Mbit/s", flags: []string{"--min-rate", "50M"}, refused: "bit/s"},
		{host: 14, what: "bad line, ≤ 15 % loss", flags: []string{"--loss", "15%"}},
		{host: 15, what: "bad line, ≤ 0.1 % loss", flags: []string{"--loss", "0.1%"}, violated: "los"},
		{host: 11, what: "≤ 500 ms, or filtered", flags: []string{"--latency", "500ms", "--degrade", "filter"}, clean: true},
	}
}

// video publishes a real video from ffmpeg's UDP output and checks what eight
// subscribers get, and what they are told.
func (l *lab) video(t *testing.T, m netem.Matrix) {
	dir := t.TempDir()
	v, err := MakeVideo(l.ctx, filepath.Join(dir, "video.ts"), videoSeconds, muxRate)
	if errors.Is(err, ErrNoFFmpeg) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var pubTalk output
	pub, err := l.CLI(publisher, nil, &pubTalk, &pubTalk, "publish", "video", "--public", "--udp", "127.0.0.1:5004", "--rate", strconv.Itoa(muxRate))
	if err != nil {
		t.Fatal(err)
	}
	l.await(t, "announcing the video", 10*time.Second, func() error {
		if !pub.running() {
			t.Fatalf("publish ended: %v: %s", pub.err, pubTalk.String())
		}
		return l.hasStream(publisher, "video")
	})
	all := viewers(m)
	for _, w := range all {
		w.file = filepath.Join(dir, fmt.Sprintf("h%d.ts", w.host))
		f, err := os.Create(w.file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w.process, err = l.CLI(w.host, nil, f, &w.talk, append([]string{"subscribe", "video"}, w.flags...)...)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range all {
		l.await(t, fmt.Sprintf("an answer to host %d (%s)", w.host, w.what), 15*time.Second, func() error { return l.answered(w) })
	}
	camera, err := l.start(
		publisher, nil, os.Stderr, os.Stderr, "ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-re", "-i", v.File,
		"-c", "copy", "-f", "mpegts", "-muxrate", strconv.Itoa(muxRate), "udp://127.0.0.1:5004?pkt_size="+strconv.Itoa(payloadSize),
	)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	t0 := l.now()
	l.snapshot(t, all, func(w *viewer, s *overlayv1.Subscription) { w.first = s })
	for l.now()-t0 < 12*time.Second && l.ctx.Err() == nil {
		l.snapshot(t, all, func(w *viewer, s *overlayv1.Subscription) {
			if s.GetMeasured().GetPackets() > 0 {
				w.means = append(w.means, s.GetMeasured().GetMeanUs())
			}
			if len(w.states) == 0 || w.states[len(w.states)-1] != s.GetState() {
				w.states = append(w.states, s.GetState())
			}
		})
		time.Sleep(500 * time.Millisecond)
	}
	l.snapshot(t, all, func(w *viewer, s *overlayv1.Subscription) { w.last = s })
	t1 := l.now()

	ctx, cancel := context.WithTimeout(l.ctx, videoSeconds*time.Second)
	defer cancel()
	if err := camera.wait(ctx); err != nil {
		t.Errorf("ffmpeg: %v", err)
	}
	time.Sleep(2 * time.Second)
	if err := pub.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(l.ctx, 10*time.Second)
	defer cancel()
	if err := pub.wait(ctx); err != nil {
		t.Errorf("publish: %v: %s", err, pubTalk.String())
	}
	for _, w := range all {
		t.Run(fmt.Sprintf("host%d", w.host), func(t *testing.T) { l.judge(t, w, v, t0, t1) })
	}
	l.check(t, "viewers admitted whose video decodes", strconv.Itoa(l.decoded), "≥ 2", l.decoded >= 2)
}

// hasStream says whether host i knows the stream.
func (l *lab) hasStream(i int, name string) error {
	ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
	defer cancel()
	r, err := l.Hosts[i].Client.Streams(ctx, connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(r.Msg.GetStreams(), func(s *overlayv1.Stream) bool { return s.GetName() == name }) {
		return fmt.Errorf("host %d does not list the stream %q", i, name)
	}
	return nil
}

// answered says whether w knows if it is admitted.
func (l *lab) answered(w *viewer) error {
	if w.refused != "" {
		if w.process.running() {
			return fmt.Errorf("it still runs: %s", w.talk.String())
		}
		return nil
	}
	if !w.process.running() {
		if w.violated != "" && strings.Contains(w.talk.String(), w.violated) {
			w.refused = w.violated // what is already known to fail is refused
			return nil
		}
		return fmt.Errorf("subscribe ended: %v: %s", w.process.err, w.talk.String())
	}
	s, err := l.subscription(w.host, "video")
	// With nothing published yet a least rate is violated after two seconds.
	if err == nil && s.GetState() != "admitted" && s.GetState() != "at risk" && s.GetState() != "violated" {
		err = fmt.Errorf("it is %s: %s", s.GetState(), s.GetReason())
	}
	return err
}

// snapshot hands out the present contracts of those who were not to be refused.
func (l *lab) snapshot(t *testing.T, all []*viewer, f func(*viewer, *overlayv1.Subscription)) {
	t.Helper()
	for _, w := range all {
		if w.refused != "" {
			continue
		}
		s, err := l.subscription(w.host, "video")
		if err != nil {
			t.Errorf("host %d (%s): %v; it said: %s", w.host, w.what, err, w.talk.String())
			continue
		}
		f(w, s)
	}
}

// judge compares what w was told with what the emulator saw and ffmpeg decodes.
func (l *lab) judge(t *testing.T, w *viewer, v *Video, t0, t1 time.Duration) {
	name := fmt.Sprintf("video, host %d (%s): ", w.host, w.what)
	ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
	defer cancel()
	err := w.process.wait(ctx)
	if w.refused != "" {
		said := w.talk.String()
		ok := err != nil && ctx.Err() == nil && strings.Contains(strings.ToLower(said), w.refused)
		l.check(t, name+"refused", fmt.Sprintf("%v: %s", err, lastLine(said)), "with the reason: "+w.refused, ok)
		return
	}
	if err != nil {
		t.Errorf("subscribe ended with %v: %s", err, w.talk.String())
	}
	if w.first == nil || w.last == nil {
		t.Fatal("there is no record of its contract")
	}
	path, err := l.hops(w.last.GetPath())
	if err != nil {
		t.Fatal(err)
	}
	before, err := l.hops(w.first.GetPath())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(path, before) {
		// A violated contract looks for a better path, though from behind a bad line there is none.
		if w.violated != "" {
			l.check(t, name+"state", w.last.GetState()+": "+w.last.GetReason(), "violated", w.last.GetState() == "violated")
			l.figures.Add(name+"path", fmt.Sprintf("changed from %v to %v: nothing to compare", before, path), "", true)
			return
		}
		t.Fatalf("the path changed from %v to %v: nothing to compare", before, path)
	}
	if len(path) < 2 || path[0] != publisher || path[len(path)-1] != w.host {
		t.Fatalf("the path is %v", path)
	}
	// What the wire says. A sealed datagram is longer than its payload by the data header
	// and the seal: how much, full payloads tell, which are most of what is sent.
	room := mostFrequent(l.flows.Sizes(path[0], path[1], t0, t1)) - payloadSize
	if room < 48 || room > 160 {
		t.Fatalf("the video is not what most datagrams from host %d to %d are: %v", path[0], path[1], l.flows.Sizes(path[0], path[1], t0, t1))
	}
	fits := func(size int) bool { return size > room && (size-room)%tsSize == 0 }
	var delay time.Duration
	var ends [2]Count
	for k := range path[1:] {
		c := l.flows.Between(path[k], path[k+1], fits, t0, t1)
		// Of half seconds, as the contract table has them, the median: this machine may
		// stand still for a moment.
		var means []time.Duration
		for at := t0; at < t1; at += 500 * time.Millisecond {
			if c := l.flows.Between(path[k], path[k+1], fits, at, at+500*time.Millisecond); c.Delivered > 0 {
				means = append(means, c.MeanDelay())
			}
		}
		delay += middle(means)
		if k == 0 {
			ends[0] = c
		}
		ends[1] = c
	}
	seconds := (t1 - t0).Seconds()
	rate := float64(ends[1].Bytes-room*ends[1].Sent) * 8 / seconds * (1 - ends[1].LossShare())
	loss := 1 - float64(ends[1].Delivered)/float64(max(1, ends[0].Sent))
	// What the contract table says.
	d0, d1 := w.first.GetDelivery(), w.last.GetDelivery()
	packets, lost := d1.GetPackets()-d0.GetPackets(), d1.GetLost()-d0.GetLost()
	toldRate := float64(d1.GetBytes()-d0.GetBytes()) * 8 / seconds
	toldLoss := float64(lost) / float64(max(1, packets+lost))
	told := time.Duration(middle(w.means)) * time.Microsecond
	// What the hosts on the way need is in what is told, and not on the wire.
	slack := time.Duration(len(path)-1) * 5 * time.Millisecond
	near := (told - delay).Abs() <= slack+delay/10
	l.check(t, name+fmt.Sprintf("delay by %v, told/wire", path), round(told)+" / "+round(delay), "within 5 ms a hop + 10 %", near)
	l.check(t, name+"kbit/s, told/wire", fmt.Sprintf("%.0f / %.0f", toldRate/1e3, rate/1e3), "within 5 %, near 1500",
		abs(toldRate-rate) <= .05*rate && rate > muxRate*.9*(1-2*lossShare))
	l.check(t, name+"loss, told/wire", fmt.Sprintf("%.2f %% / %.2f %%", toldLoss*100, loss*100), "within 1 %", abs(toldLoss-loss) <= .01)
	onBadLine := slices.ContainsFunc(path, func(i int) bool { return slices.Contains(lossy, i) })
	if w.violated == "" && w.lossBound > 0 && onBadLine {
		w.violated = "los" // nobody could know before it flowed
		w.clean = false
	}
	if w.violated != "" {
		ok := w.last.GetState() == "violated" && strings.Contains(w.last.GetReason(), w.violated)
		l.check(t, name+"state", strings.Join(w.states, ", ")+": "+w.last.GetReason(), "violated", ok)
		return
	}
	if len(w.states) > 1 {
		for k := range path[1:] {
			t.Logf("states %v; from host %d to %d nothing was sent at %v", w.states, path[k], path[k+1], l.flows.Silent(path[k], path[k+1], t0, t1))
		}
	}
	l.check(t, name+"state", strings.Join(w.states, ", "), "admitted", !slices.ContainsFunc(w.states, func(s string) bool { return s != "admitted" && s != "at risk" }))

	frames, err := Decode(l.ctx, w.file)
	if w.clean && !onBadLine {
		if err == nil {
			err = v.Same(frames)
		}
		if err == nil && len(frames) < len(v.Frames) {
			t.Logf("the first frame is number %d of %d", slices.Index(v.Frames, frames[0]), len(v.Frames))
		}
		if err == nil {
			l.decoded++
		}
		l.check(t, name+"decoded", fmt.Sprintf("%d of %d frames%s", len(frames), len(v.Frames), because(err)), "all, no complaint", err == nil && len(frames) == len(v.Frames))
		return
	}
	n, err := Decodable(l.ctx, w.file)
	l.check(t, name+"decoded with losses", fmt.Sprintf("%d of %d frames%s", n, len(v.Frames), because(err)), "some", n > 0)
}

// middle is the median, 0 of nothing.
func middle[T cmp.Ordered](v []T) T {
	if len(v) == 0 {
		var zero T
		return zero
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// mostFrequent is the size that occurs most.
func mostFrequent(sizes map[int]int) int {
	best, most := 0, 0
	for size, n := range sizes {
		if n > most || n == most && size > best {
			best, most = size, n
		}
	}
	return best
}

func abs(x float64) float64 { return max(x, -x) }

// lastLine is the last line of what a program said.
func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }
