// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"sandstream/uls"
)

// tap prints results in the Test Anything Protocol and counts them.
type tap struct {
	group   string
	param   string // of "group=param" on the command line
	n       int
	failed  int
	cleanup []func()
	c       *uls.Client // see client()

	tenants map[string]*uls.SPA      // see tenant()
	lengths map[string]time.Duration // see arm()
}

// abandon is panicked with to leave a group after a check that the rest needs.
type abandon struct{}

func (t *tap) run(name string, group func(*tap)) {
	t.group, t.param, _ = strings.Cut(name, "=")
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(abandon); !ok {
				buf := make([]byte, 8192)
				t.check(false, "no panic", "%v\n%s", r, buf[:runtime.Stack(buf, false)])
			}
		}
		for len(t.cleanup) > 0 {
			last := len(t.cleanup) - 1
			f := t.cleanup[last]
			t.cleanup = t.cleanup[:last]
			f()
		}
		t.nothingLeft()
	}()
	group(t)
}

// check counts one check; detail is printed if it failed.
func (t *tap) check(ok bool, what, detail string, args ...any) bool {
	t.n++
	word := "ok"
	if !ok {
		word = "not ok"
		t.failed++
	}
	fmt.Printf("%s %d - %s: %s\n", word, t.n, t.group, what)
	if !ok {
		for _, line := range strings.Split(strings.TrimSpace(fmt.Sprintf(detail, args...)), "\n") {
			fmt.Println("#   " + line)
		}
	}
	return ok
}

// must is check for what the rest of the group cannot do without.
func (t *tap) must(ok bool, what, detail string, args ...any) {
	if !t.check(ok, what, detail, args...) {
		panic(abandon{})
	}
}

// need is must for errors of the set-up; it prints nothing if all is well.
func (t *tap) need(err error, what string) {
	if err != nil {
		t.must(false, what, "%v", err)
	}
}

func (t *tap) skip(what, why string) {
	t.n++
	fmt.Printf("ok %d - %s: %s # SKIP %s\n", t.n, t.group, what, why)
}

func (t *tap) note(format string, args ...any) {
	for _, line := range strings.Split(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n") {
		fmt.Println("# " + line)
	}
}

// later runs f when the group ends, last come first served.
func (t *tap) later(f func()) { t.cleanup = append(t.cleanup, f) }

func (t *tap) end() int {
	fmt.Printf("1..%d\n", t.n)
	if t.failed > 0 || t.n == 0 {
		fmt.Fprintf(os.Stderr, "%d of %d checks failed\n", t.failed, t.n)
		return 1
	}
	return 0
}

// wait polls a condition until it holds or the time is over.
func wait(limit time.Duration, cond func() bool) bool {
	end := time.Now().Add(limit)
	for {
		if cond() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
}
