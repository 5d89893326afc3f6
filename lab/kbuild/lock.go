// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Locks in one cache, always taken in this order:
//
//	<variant>  exclusive: its object directory
//	tree       shared by those who compile from the source tree, exclusive for who patches it
//
// The kernel drops them with the process, so an interrupted build leaves none.
type lockFile struct{ f *os.File }

func (b *Builder) openLock(name string) (lockFile, error) {
	dir := filepath.Join(b.Cache, "kernel")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return lockFile{}, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock-"+name), os.O_CREATE|os.O_RDWR, 0o644)
	return lockFile{f}, err
}

func (l lockFile) release() { l.f.Close() }

// take waits for the lock; it says so when it has to. On an error it is released.
func (l lockFile) take(ctx context.Context, b *Builder, how int) error {
	for said := false; ; {
		err := syscall.Flock(int(l.f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			l.release()
			return fmt.Errorf("lock %s: %w", l.f.Name(), err)
		}
		if !said {
			b.logf("kernel: waiting for another build (%s)", l.f.Name())
			said = true
		}
		select {
		case <-ctx.Done():
			l.release()
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lock takes a lock for itself alone and returns how to release it.
func (b *Builder) lock(ctx context.Context, name string) (func(), error) {
	l, err := b.openLock(name)
	if err != nil {
		return nil, err
	}
	if err := l.take(ctx, b, syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return l.release, nil
}

// reading takes k's objects for itself and its tree for reading, and checks that
// both still are what k was built from.
func (b *Builder) reading(ctx context.Context, k *Kernel, name string) (func(), error) {
	unlock, err := b.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	l, err := b.openLock("tree")
	if err == nil {
		err = l.take(ctx, b, syscall.LOCK_SH)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	release := func() {
		l.release()
		unlock()
	}
	if readStamp(k.Objects) != k.Key || readStamp(k.Tree) != k.Meta.PatchHash {
		release()
		return nil, errors.New("another build changed the kernel tree meanwhile: run again")
	}
	return release, nil
}
