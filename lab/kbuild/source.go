// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Source is an installed linux-source package.
type Source struct {
	Package string // Debian package, for example "linux-source-6.12"
	Version string // its version, for example "6.12.117-1~deb12u1"
	Tarball string // path of the tarball
}

// A Base says what a patch series was made for; it is read from kernel-patches/*/base.
type Base struct {
	Package string // Debian package that carries the source
	Version string // package version the series was made and tested with
	Tarball string // where that package installs its tarball
	SHA256  string // digest of that tarball
}

// ReadBase parses a base file: "key: value" lines, '#' starts a comment.
func ReadBase(path string) (Base, error) {
	var b Base
	data, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	fields := map[string]*string{
		"package": &b.Package, "version": &b.Version,
		"tarball": &b.Tarball, "sha256": &b.SHA256,
	}
	for n, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		dst := fields[strings.TrimSpace(key)]
		if !ok || dst == nil {
			return b, fmt.Errorf("%s:%d: want one of package, version, tarball, sha256 and a value", path, n+1)
		}
		*dst = strings.TrimSpace(value)
	}
	for key, dst := range fields {
		if *dst == "" {
			return b, fmt.Errorf("%s: no %q", path, key)
		}
	}
	return b, nil
}

// FindSource returns the installed source package that b names. The error says
// how to install it.
func FindSource(ctx context.Context, b Base) (Source, error) {
	s := Source{Package: b.Package, Tarball: b.Tarball}
	if _, err := os.Stat(b.Tarball); err != nil {
		return s, fmt.Errorf("kernel source %s is not installed (no %s): run 'make deps'", b.Package, b.Tarball)
	}
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", b.Package).Output()
	if err != nil {
		return s, fmt.Errorf("dpkg-query does not know %s although %s exists: run 'make deps'", b.Package, b.Tarball)
	}
	s.Version = strings.TrimSpace(string(out))
	return s, nil
}

// A Patch is one file of the series.
type Patch struct {
	Name  string   // file name
	Path  string   // where it is
	Data  []byte   // content
	Files []string // the files it touches, relative to the kernel's root
}

// ReadSeries reads the patches that dir/series lists, in order. An empty series
// is valid: it builds the distribution's kernel.
func ReadSeries(dir string) ([]Patch, error) {
	path := filepath.Join(dir, "series")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var series []Patch
	for _, line := range strings.Split(string(data), "\n") {
		name, _, _ := strings.Cut(line, "#")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		p := Patch{Name: name, Path: filepath.Join(dir, name)}
		if p.Data, err = os.ReadFile(p.Path); err != nil {
			return nil, fmt.Errorf("%s lists %s: %w", path, name, err)
		}
		if p.Files, err = touched(p.Data); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Path, err)
		}
		series = append(series, p)
	}
	return series, nil
}

// touched returns the files a unified diff names, each once, in order.
func touched(diff []byte) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	add := func(name, prefix string) error {
		name, _, _ = strings.Cut(name, "\t")
		name = strings.TrimSpace(name)
		if name == "/dev/null" {
			return nil
		}
		if prefix != "" {
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok {
				return fmt.Errorf("file name %q does not start with %q: make the patch with git format-patch", name, prefix)
			}
			name = rest
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("file name %q leaves the tree", name)
		}
		if !seen[name] {
			seen[name] = true
			files = append(files, name)
		}
		return nil
	}
	// Only the two lines that follow each other are a header: "--- " alone may
	// be a removed line that begins with "-- ".
	var prev string
	sc := bufio.NewScanner(bytes.NewReader(diff))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		var err error
		if old, ok := strings.CutPrefix(prev, "--- "); ok && strings.HasPrefix(line, "+++ ") {
			if err = add(old, "a/"); err == nil {
				err = add(line[4:], "b/")
			}
		} else if name, ok := strings.CutPrefix(line, "rename from "); ok {
			err = add(name, "")
		} else if name, ok := strings.CutPrefix(line, "rename to "); ok {
			err = add(name, "")
		}
		if err != nil {
			return nil, err
		}
		prev = line
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("touches no file: not a unified diff")
	}
	return files, nil
}

// A PatchError says which patch did not apply and what patch(1) said.
type PatchError struct {
	Patch         string // file name
	Made, Found   string // package versions: made for, found
	Output        string // patch(1)'s own words
	TouchedByPath []string
}

func (e *PatchError) Error() string {
	version := "the version it was made for, " + e.Made
	if e.Made != e.Found {
		version = fmt.Sprintf("%s; the series was made for %s", e.Found, e.Made)
	}
	return fmt.Sprintf("%s does not apply without fuzz to %s\n%s", e.Patch, version, strings.TrimRight(e.Output, "\n"))
}

// unpack extracts the tarball to tree unless it is there. What the lab kernel
// cannot compile in any configuration of ours (other architectures, GPU, media,
// sound and wireless code) is left out, but for the Kconfig files that the
// configuration needs: that halves the time and the space.
func unpack(ctx context.Context, s Source, tree string) error {
	if _, err := os.Stat(tree); err == nil {
		return nil
	}
	part := tree + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o755); err != nil {
		return err
	}
	args := []string{"-x", "-f", s.Tarball, "-C", part, "--strip-components=1", "--no-same-owner", "-I", "xz -T0"}
	for _, dir := range []string{"drivers/gpu/drm", "drivers/media", "drivers/net/wireless", "sound", "drivers/infiniband"} {
		args = append(args, "--exclude=*/"+dir+"/*.[chS]")
	}
	for _, arch := range []string{
		"alpha", "arc", "arm", "arm64", "csky", "hexagon", "loongarch", "m68k", "microblaze", "mips",
		"nios2", "openrisc", "parisc", "powerpc", "riscv", "s390", "sh", "sparc", "xtensa",
	} {
		for _, kind := range []string{"*.[chS]", "*.dts", "*.dtsi"} {
			args = append(args, "--exclude=linux-source-*/arch/"+arch+"/"+kind)
		}
	}
	cmd := exec.CommandContext(ctx, "tar", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", s.Tarball, err, out)
	}
	return os.Rename(part, tree)
}

// applySeries brings tree to the state "pristine + series". It works on copies
// of the touched files only, and rewrites a file in tree only when its content
// changes, so that make sees the smallest possible difference. It keeps no state
// but the pristine copies in orig: after an interruption the next call repairs.
func applySeries(ctx context.Context, b Base, s Source, series []Patch, tree, orig string) error {
	files, err := keepPristine(series, tree, orig)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(tree), "patched-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, f := range files {
		if err := copyFile(filepath.Join(work, f), filepath.Join(orig, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, p := range series {
		cmd := exec.CommandContext(ctx, "patch", "-p1", "-F0", "--batch", "--forward", "--no-backup-if-mismatch", "-d", work, "-i", p.Path)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return &PatchError{Patch: p.Path, Made: b.Version, Found: s.Version, Output: string(out), TouchedByPath: p.Files}
		}
	}
	for _, f := range files {
		if err := syncFile(filepath.Join(tree, f), filepath.Join(work, f)); err != nil {
			return err
		}
	}
	return nil
}

// absentSuffix marks, in orig, a file that the pristine tree does not have.
const absentSuffix = ".absent-in-source"

// keepPristine copies each file that the series touches from tree to orig unless
// it is there, and returns every file any series ever touched.
func keepPristine(series []Patch, tree, orig string) ([]string, error) {
	for _, p := range series {
		for _, f := range p.Files {
			kept := filepath.Join(orig, f)
			if exists(kept) || exists(kept+absentSuffix) {
				continue
			}
			err := copyFile(kept, filepath.Join(tree, f))
			if errors.Is(err, fs.ErrNotExist) {
				if err = os.MkdirAll(filepath.Dir(kept), 0o755); err == nil {
					err = os.WriteFile(kept+absentSuffix, nil, 0o644)
				}
			}
			if err != nil {
				return nil, err
			}
		}
	}
	var files []string
	err := filepath.WalkDir(orig, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was ever patched
		}
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".part") {
			return err
		}
		rel, err := filepath.Rel(orig, path)
		files = append(files, strings.TrimSuffix(rel, absentSuffix))
		return err
	})
	return files, err
}

// syncFile makes dst equal to src: absent if src is absent, untouched if equal.
func syncFile(dst, src string) error {
	want, err := os.ReadFile(src)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(dst); err == nil && bytes.Equal(have, want) {
		return nil
	}
	return copyFile(dst, src)
}

// copyFile copies src to dst through a temporary name, keeping the mode.
func copyFile(dst, src string) error {
	st, err := os.Stat(src)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	return writeFile(dst, data, st.Mode().Perm())
}

// writeFile writes dst through a temporary name beside it, so that dst is old or
// new and never half.
func writeFile(dst string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	part := dst + ".part"
	if err := os.WriteFile(part, data, mode); err != nil {
		return err
	}
	return os.Rename(part, dst)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// fileSHA256 returns the hex digest of a file.
func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := f.WriteTo(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
