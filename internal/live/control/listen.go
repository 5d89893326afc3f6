// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"sandstream/internal/fail"
	"sandstream/internal/live/ownfolder"
	"sandstream/overlayapi"
	"sandstream/overlayapi/door"
)

// listenTCP listens where the flag of that name says, if it does.
func listenTCP(flag, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return nil, fail.Usagef("--%s %q is no ADDRESS:PORT, e.g. 127.0.0.1:7080", flag, addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, addr, err)
	}
	return l, nil
}

// listenUnix makes the socket for the daemon's user and group. One that a dead
// daemon left is replaced, one that a living one serves is not.
func listenUnix(path string) (net.Listener, error) {
	if err := overlayapi.CheckSocket(path); err != nil {
		return nil, fail.Usagef("control %w (choose another: --socket)", err)
	}
	dir, mode := filepath.Dir(path), fs.FileMode(0o750)
	if filepath.Dir(dir) == filepath.Clean(os.TempDir()) {
		mode = 0o700
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fmt.Errorf("control socket: %w (choose another: --socket)", err)
	}
	// Who can write the folder could put a socket of his own in this one's place.
	if err := ownfolder.Check(dir); err != nil {
		return nil, fail.Errorf(fail.ErrPermission, "control socket: %w (choose another with --socket)", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another overlayd serves %s: give this one a --socket of its own", path)
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, fail.Errorf(fail.ErrPermission, "control socket %s: %w", path, err)
	}
	if i, err := os.Lstat(path); err == nil && i.Mode()&fs.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	door.Clean(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w (choose another: --socket)", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}
