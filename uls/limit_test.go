// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sandstream/uls/internal/abi"
)

func TestLimit(t *testing.T) {
	m, c := newFake(t)
	m.share = 80
	l, err := c.Limit()
	must(t, err)
	if l.Share != 80 || len(l.CPUs) != 2 || l.CPUs[1] != (CPUAccount{CPU: 1, Reservations: 1, ReservedPPM: 100001, LeftPPM: 350000, PoolPPM: 400000, TakenNS: 1 << 40}) {
		t.Errorf("%+v", l)
	}
	must(t, c.SetCPUShare(95))
	if m.share != 95 {
		t.Errorf("the module was told %d", m.share)
	}
	for _, bad := range []int{-1, 0, 4, 96, 100} {
		if err := c.SetCPUShare(bad); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "must be 5 to 95 %") {
			t.Errorf("%d: %v", bad, err)
		}
	}
	m.fail[abi.CmdLimitSet] = extack(unix.EBUSY, "45.0 % of CPU 0 are reserved")
	if err := c.SetCPUShare(60); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "are reserved (make reservations smaller") {
		t.Errorf("refused by the module: %v", err)
	}
	m.share = 0
	if _, err := c.Limit(); err == nil {
		t.Error("an answer without a share is taken for one")
	}
}

func TestHomeCPU(t *testing.T) {
	m, c := newFake(t)
	m.next = 2
	cpu := uint32(0)
	m.spas[1] = &fakeSPA{id: 1, name: "kept", state: abi.StateLive, runtime: 300000, period: 1000000, home: &cpu}
	m.spas[2] = &fakeSPA{id: 2, name: "homeless", state: abi.StateLive, runtime: 300000, period: 1000000}
	s, err := c.SPAByName("kept")
	must(t, err)
	if s.HomeCPU == nil || *s.HomeCPU != 0 || s.Reserve() != (Reserve{300 * time.Microsecond, time.Millisecond}) {
		t.Errorf("%+v", s)
	}
	if s, err = c.SPAByName("homeless"); err != nil || s.HomeCPU != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// What a reservation is refused for has a way out, and it is named.
func TestNoRoom(t *testing.T) {
	m, c := newFake(t)
	m.next = 1
	m.spas[1] = &fakeSPA{id: 1, name: "echo", state: abi.StateLive}
	m.fail[abi.CmdSpaSet] = extack(unix.ENOSPC, "no CPU has 600us/1000us left")
	err := c.SetLimits(&SPA{ID: 1, Name: "echo"}, Limits{Reserve: &Reserve{600 * time.Microsecond, time.Millisecond}})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "left (ask for less with --reserve, or lower what processes keep: 'ulsctl limit --cpu-share')") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Map(MapOptions{File: spaFile(t), Name: "other", Reserve: &Reserve{300, 1000}}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "needs a device") {
		t.Errorf("a reservation without a device: %v", err)
	}
}

// A new SPA whose budget the old reservation does not hold needs the new one
// first; if it fails the old SPA has its own again.
func TestReplaceReservation(t *testing.T) {
	for name, x := range map[string]struct {
		budget   time.Duration
		commit   error
		calls    string
		runtime  uint64
		survivor uint32
	}{
		"smaller budget":           {100 * time.Microsecond, nil, "begin commit set", 800000, 2},
		"larger budget":            {700 * time.Microsecond, nil, "begin set commit", 0, 2},
		"larger budget, and fails": {700 * time.Microsecond, extack(unix.EREMOTEIO, "INIT said no"), "begin set commit set", 300000, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, c := newFake(t)
			m.next = 1
			m.spas[1] = &fakeSPA{id: 1, name: "echo", state: abi.StateLive, budget: 200000, runtime: 300000, period: 1000000}
			m.fail[abi.CmdSpaCommit] = x.commit
			_, err := c.Replace("echo", ReplaceOptions{File: spaFile(t), Budget: x.budget, Reserve: &Reserve{800 * time.Microsecond, time.Millisecond}})
			if (err != nil) != (x.commit != nil) {
				t.Fatalf("got %v", err)
			}
			if got := strings.NewReplacer("get ", "", "write ", "").Replace(commands(m.calls)); !strings.HasPrefix(got, x.calls) {
				t.Errorf("asked %q, want %q", got, x.calls)
			}
			s := m.spas[x.survivor]
			if s == nil || len(m.spas) != 1 || s.runtime != x.runtime {
				t.Errorf("left: %+v", s)
			}
		})
	}
}
