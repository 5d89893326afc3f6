// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const lockFile = "overlayd.lock" // in the state folder

// lockState keeps the state folder for this daemon until the file is closed: two
// daemons with one key would both be members under one id.
func lockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w (choose another: --state)", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w (choose another: --state)", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("state folder %s cannot be locked: %w (choose another: --state)", dir, err)
		}
		b, _ := io.ReadAll(io.LimitReader(f, 32))
		who := "pid " + strings.TrimSpace(string(b))
		if len(b) == 0 {
			who = "just starting"
		}
		return nil, fmt.Errorf("another overlayd (%s) uses state folder %s: give each its own --state", who, dir)
	}
	// The number is for people; the lock holds without it.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}
