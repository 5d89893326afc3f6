// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"overlayd": func() { os.Exit(run(interrupted(), os.Args[1:])) },
	})
}

// The transcripts of testdata: what a user sees.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": exitStatus,
		},
		Setup: func(e *testscript.Env) error {
			// Short: the path of a unix socket has 107 bytes at most.
			dir, err := os.MkdirTemp("", "ov")
			if err != nil {
				return err
			}
			for name, secret := range map[string]string{"token": "0123456789abcdef0123456789abcdef", "short": "abc", "empty": ""} {
				if err := os.WriteFile(e.WorkDir+"/"+name, []byte(secret), 0o600); err != nil {
					return err
				}
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("RUN", dir)
			e.Setenv("XDG_RUNTIME_DIR", dir)
			e.Setenv("OVERLAYD_SOCKET", dir+"/s")
			return nil
		},
	})
}

// exitStatus runs overlayd and compares its exit status: testscript itself tells
// success from failure only.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N overlayd ARGUMENT...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = err.Error()
	}
	if want := "exit status " + args[0]; got != want && (args[0] != "0" || err != nil) {
		ts.Fatalf("%v: got %s, want %s", args[1:], got, want)
	}
}
