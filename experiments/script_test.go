// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sandstream/internal/model/scenario"
)

// asCommand makes the test binary behave as the command.
const asCommand = "EXPERIMENTS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run())
	}
	testscript.Main(m, map[string]func(){"experiments": func() { os.Exit(run()) }})
}

// TestScripts runs the transcripts of testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(name string) (bool, error) {
			if name != "memory-for-2^28-hosts" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			free, known := scenario.Available()
			return !known || free > 40<<30, nil
		},
	})
}

// Ctrl-C prints what is finished and fails.
func TestInterrupt(t *testing.T) {
	cmd := exec.Command(os.Args[0], "penalty", "--hosts", "2048", "--seeds", "1000000", "--curves", "paper", "--results", "")
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	// The first line of progress says that something is finished.
	said := bufio.NewReader(stderr)
	line, err := said.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "penalty: curves: ") {
		t.Fatalf("progress is %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(said)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("interrupted: %v, want exit status 1", err)
	}
	if !strings.Contains(string(rest), "interrupted: only what was finished is reported") {
		t.Errorf("stderr: %s", rest)
	}
	if !strings.Contains(stdout.String(), "2-ary 11-cube greedy") {
		t.Errorf("no finished result: %s", &stdout)
	}
}
