// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// uplink is what the narrow host may send: the video once in full and once thinned out,
// which counts as half of it.
const uplink = muxRate*3/2 + 150_000

// narrow starts the killed hosts again, one of them with a narrow uplink, and publishes
// a video there from stdin. Its subscribers accept the filter rather than no video.
func (l *lab) narrow(t *testing.T) {
	var again []int
	for i := range hosts {
		if l.killed[i] {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		t.Skip("no host was killed before")
	}
	source := again[0]
	for _, i := range again {
		delete(l.killed, i)
		var more []string
		if i == source {
			more = []string{"--capacity", strconv.Itoa(uplink)}
		}
		if err := l.startDaemon(i, more, publisher); err != nil {
			t.Fatal(err)
		}
	}
	took, err := eventually(l.ctx, 30*time.Second, 100*time.Millisecond, func() error { return whole(l.ctx, l.Clients(), l.owners) })
	l.check(t, fmt.Sprintf("%d hosts back with their keys", len(again)), round(took)+because(err), "≤ 30 s", err == nil)
	if err != nil {
		return
	}

	dir := t.TempDir()
	v, err := MakeVideo(l.ctx, filepath.Join(dir, "film.ts"), 12, muxRate)
	if errors.Is(err, ErrNoFFmpeg) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	stdin, film, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer film.Close()
	var pubTalk output
	pub, err := l.CLI(source, stdin, &pubTalk, &pubTalk, "publish", "film", "--public", "--pace", "--rate", strconv.Itoa(muxRate))
	stdin.Close()
	if err != nil {
		t.Fatal(err)
	}
	l.await(t, "announcing the film", 10*time.Second, func() error { return l.hasStream(source, "film") })
	var all []*viewer
	for i := 1; i < hosts && len(all) < 5; i++ {
		if i == source || slices.Contains(lossy, i) {
			continue
		}
		w := &viewer{host: i, file: filepath.Join(dir, fmt.Sprintf("h%d.ts", i))}
		f, err := os.Create(w.file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if w.process, err = l.CLI(i, nil, f, &w.talk, "subscribe", "film", "--degrade", "filter"); err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
		// One after the other: who comes first gets the film in full.
		l.await(t, fmt.Sprintf("an answer to host %d", i), 15*time.Second, func() error {
			if !w.process.running() {
				return nil
			}
			s, err := l.subscription(i, "film")
			if err == nil && s.GetState() == "resolving" {
				err = errors.New("it is resolving")
			}
			return err
		})
	}
	b, err := os.ReadFile(v.File)
	if err != nil {
		t.Fatal(err)
	}
	fed := make(chan error, 1)
	go func() {
		_, err := io.Copy(film, strings.NewReader(string(b)))
		fed <- errors.Join(err, film.Close())
	}()
	time.Sleep(2 * time.Second)
	t0 := l.now()
	time.Sleep(6 * time.Second)
	t1 := l.now()
	var full, thin, refused int
	for _, w := range all {
		if said := w.talk.String(); !w.process.running() {
			refused++
			if !strings.Contains(said, "refused") || !strings.Contains(said, "uplink") {
				t.Errorf("host %d has ended, but was not refused for the uplink: %s", w.host, said)
			}
			continue
		}
		s, err := l.subscription(w.host, "film")
		switch {
		case err != nil:
			t.Error(err)
		case s.GetDegraded() != "":
			thin++
			w.what = "filtered"
		default:
			full++
			w.what = "full"
		}
		if err == nil {
			w.last = s
		}
	}
	ctx, cancel := context.WithTimeout(l.ctx, 20*time.Second)
	defer cancel()
	if err := errors.Join(<-fed, pub.wait(ctx)); err != nil {
		t.Errorf("publish: %v: %s", err, pubTalk.String())
	}
	var sent float64
	for j := range hosts {
		if j != source {
			// What the filter leaves of a payload has any length.
			c := l.flows.Between(source, j, func(size int) bool { return size > 300 }, t0, t1)
			sent += float64(c.Bytes) * 8 / (t1 - t0).Seconds()
		}
	}
	l.check(
		t, fmt.Sprintf("uplink of %d kbit/s: sent for %d in full, %d filtered, %d refused", uplink/1000, full, thin, refused),
		fmt.Sprintf("≤ %.0f kbit/s", sent/1e3), "≤ uplink", sent <= uplink*1.1 && full+thin+refused == len(all) && full > 0,
	)
	for _, w := range all {
		if w.last == nil {
			continue
		}
		if err := w.process.wait(ctx); err != nil {
			t.Errorf("host %d: subscribe ended with %v: %s", w.host, err, w.talk.String())
		}
		frames, err := Decode(l.ctx, w.file)
		want := len(v.Frames)
		switch {
		case err != nil:
		case w.what == "full":
			err = v.Same(frames)
		default: // key frames, one a second
			want = v.Seconds
			if i := slices.IndexFunc(frames, func(f string) bool { return !slices.Contains(v.Frames, f) }); i >= 0 {
				err = fmt.Errorf("frame %d is not of the video", i+1)
			}
		}
		info, statErr := os.Stat(w.file)
		if statErr != nil {
			t.Fatal(statErr)
		}
		l.check(
			t, fmt.Sprintf("film, host %d (%s): decoded", w.host, w.what),
			fmt.Sprintf("%d of %d frames, %d of %d KiB%s", len(frames), len(v.Frames), info.Size()>>10, len(b)>>10, because(err)),
			fmt.Sprintf("%d, no complaint", want), err == nil && len(frames) == want,
		)
		if w.what == "filtered" && info.Size() >= int64(len(b)) {
			t.Errorf("host %d is said to get a filtered film, and has all bytes of it", w.host)
		}
	}
}
