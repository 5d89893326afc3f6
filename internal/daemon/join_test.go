// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sandstream/internal/cli"
)

// runEnds runs a host that cannot join, and gives why it ended.
func runEnds(t *testing.T, change func(*Config), join ...string) error {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{Join: join, Listen: "127.0.0.1:0", Token: testToken, StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "s")}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := Run(ctx, cfg)
	if ctx.Err() != nil {
		t.Fatalf("the host still tries to join after 30 s: %v", err)
	}
	return err
}

func TestAnotherRadixEndsTheHost(t *testing.T) {
	for _, radix := range []int{2, 3} {
		first := host(t, nil, func(c *Config) { c.Radix = radix })
		<-first.Joined()
		err := runEnds(t, func(c *Config) { c.Radix = 5 - radix }, first.Self().Addr.String())
		want := map[int]string{
			2: "this overlay has radix 2, this host was started with --radix 3",
			3: "this overlay has radix 3, this host was started with --radix 2",
		}[radix]
		if !errors.Is(err, cli.ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
