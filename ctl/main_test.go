// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sandstream/internal/host/spaelf/spatest"
	"sandstream/uls"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ulsctl": func() { os.Exit(run(context.Background(), os.Args[1:])) },
	})
}

// The transcripts of testdata: what a user sees, on any machine. Those that talk
// to a kernel are for one without the patches; the lab's virtual machine runs the
// rest (lab/tests/endhost).
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": exitStatus,
		},
		Setup: func(e *testscript.Env) error {
			good := spatest.File(5000)
			for name, data := range map[string][]byte{
				"echo.spa": good, "cut.spa": good[:len(good)-1], "shell.spa": []byte("#!/bin/sh\n"),
			} {
				if err := os.WriteFile(e.WorkDir+"/"+name, data, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			c, err := uls.New()
			if err == nil {
				c.Close()
			}
			return cond == "unpatched" && err != nil, nil
		},
	})
}

// exitStatus runs ulsctl in this process's stead and compares its exit status:
// testscript itself tells success from failure only.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N ulsctl ARGUMENT...")
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
