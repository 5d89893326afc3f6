// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sandstream/internal/fail"
)

// TestMain is the program too: a measurement is a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "one" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// Each system carries every packet to every subscriber, whole and in order:
// else its figures would be those of something else.
func TestSystemsDeliver(t *testing.T) {
	const fan, n = 3, 300
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			got := make([][]uint64, fan)
			bad := 0
			sys, err := contenders[name](fan, func(sub int, p []byte) {
				mu.Lock()
				defer mu.Unlock()
				if len(p) != 500 || !bytes.Equal(p[8:], bytes.Repeat([]byte{byte(binary.BigEndian.Uint64(p))}, 492)) {
					bad++
				}
				got[sub] = append(got[sub], binary.BigEndian.Uint64(p))
			})
			if err != nil {
				t.Fatal(err)
			}
			defer sys.close()
			count := func(from uint64) (least int) {
				mu.Lock()
				defer mu.Unlock()
				least = n
				for _, seqs := range got {
					k := 0
					for _, s := range seqs {
						if s >= from {
							k++
						}
					}
					least = min(least, k)
				}
				return least
			}
			seq := uint64(0)
			publish := func() {
				seq++
				p := bytes.Repeat([]byte{byte(seq)}, 500)
				binary.BigEndian.PutUint64(p, seq)
				if err := sys.publish([][]byte{p}); err != nil {
					t.Fatal(err)
				}
			}
			end := time.Now().Add(20 * time.Second)
			for count(1) < 20 && time.Now().Before(end) { // until it is connected
				publish()
				time.Sleep(20 * time.Millisecond)
			}
			first := seq + 1
			for range n {
				publish()
				time.Sleep(100 * time.Microsecond)
			}
			for count(first) < n && time.Now().Before(end) {
				time.Sleep(10 * time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			if bad > 0 {
				t.Errorf("%d packets are not what was published", bad)
			}
			for i, seqs := range got {
				var tail []uint64
				for _, s := range seqs {
					if s >= first {
						tail = append(tail, s)
					}
				}
				if len(tail) != n {
					t.Fatalf("subscriber %d got %d of %d packets", i, len(tail), n)
				}
				if name == "gossipsub" {
					continue // promises no order
				}
				for j, s := range tail {
					if s != first+uint64(j) {
						t.Fatalf("subscriber %d: packet %d is number %d", i, j, s-first)
					}
				}
			}
		})
	}
}

// A short run of everything fills every table.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	dir := t.TempDir()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(os.Stderr)
	root.SetArgs([]string{
		"--rounds", "1", "--for", "300ms", "--fan", "2", "--rate", "500", "--hosts", "4", "--degree", "2",
		"--systems", "sandstream,nats", "--parts", "throughput,delay,stall", "--results", dir, "--no-progress",
	})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"deliveries/s per core", "P99 us", "one stalls", "nats"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the output:\n%s", want, out.String())
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.csv"))
	if err != nil || len(files) != 3 {
		t.Errorf("tables on disk: %v, %v", files, err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--parts", "speed"}, {"--systems", "kafka"}, {"--rounds", "0"}, {"--payload", "9000"}, {"--degree", "99"},
	} {
		root := newRoot()
		root.SetArgs(args)
		root.SetOut(new(bytes.Buffer))
		root.SetErr(new(bytes.Buffer))
		if err := root.ExecuteContext(t.Context()); fail.Status(err) != 2 {
			t.Errorf("%v: %v, status %d", args, err, fail.Status(err))
		}
	}
}

func TestOneIsJSON(t *testing.T) {
	r, err := inChild(t.Context(), "throughput", "sandstream", options{Fan: 2, Payload: 100, Window: 64, For: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Delivered == 0 || r.CPU <= 0 || r.Wall < .2 {
		b, _ := json.Marshal(r)
		t.Errorf("measured %s", b)
	}
}
