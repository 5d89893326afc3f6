// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state folder has one daemon at a time, and is free again after it.
func TestOneDaemonPerStateFolder(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Create: true, Listen: "127.0.0.1:0", Token: testToken, StateDir: dir, Socket: filepath.Join(t.TempDir(), "s")}
	first, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	other := cfg
	other.Socket = filepath.Join(t.TempDir(), "s")
	second, err := New(t.Context(), other)
	if err == nil {
		second.Close()
		t.Fatal("two hosts with one id")
	}
	for _, want := range []string{fmt.Sprintf("(pid %d)", os.Getpid()), dir, "--state"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	first.Close()
	// One that fails to start gives the folder back too.
	bad := cfg
	bad.Advertise = "nowhere"
	if _, err := New(t.Context(), bad); err == nil {
		t.Error("advertised nowhere")
	}
	again, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
