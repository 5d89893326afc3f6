// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// fixedWords make the same inputs give the same bytes.
var fixedWords = []string{
	"KBUILD_BUILD_TIMESTAMP=2026-01-01",
	"KBUILD_BUILD_USER=sandstream",
	"KBUILD_BUILD_HOST=lab",
	"KBUILD_BUILD_VERSION=1",
}

// A Builder builds kernels of one project into one cache.
type Builder struct {
	Project string    // root of the project (the folder with kernel-patches/)
	Cache   string    // cache folder; see [DefaultCache]
	Release string    // folder of the series under kernel-patches/, for example "6.12"
	Log     io.Writer // progress and remarks
	Jobs    int       // parallel jobs; 0 means one per CPU
	TTY     bool      // Log is a terminal: redraw one line instead of printing many
}

// DefaultCache is $XDG_CACHE_HOME/sandstream, or ~/.cache/sandstream.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder (set XDG_CACHE_HOME or HOME): %w", err)
	}
	return filepath.Join(dir, "sandstream"), nil
}

// A Kernel is a finished build.
type Kernel struct {
	Variant   string // "lab", "debug"
	Key       string // digest of everything that went in, hex
	BzImage   string // path of the bootable image
	Config    string // path of the resulting configuration
	SystemMap string // path of System.map
	Tree      string // patched source
	Objects   string // object directory, for modules (make O=)
	Meta      Meta   // what went in
}

// Meta records what a kernel was built from; results carry it.
type Meta struct {
	Variant    string            `json:"variant"`
	Key        string            `json:"key"`
	Source     string            `json:"source"`      // Debian package
	Version    string            `json:"version"`     // its version
	MadeFor    string            `json:"made_for"`    // version the series was made for
	Patches    map[string]string `json:"patches"`     // file name -> sha256
	Fragments  map[string]string `json:"fragments"`   // file name -> sha256
	PatchHash  string            `json:"patch_hash"`  // sha256 over the series, in order
	ConfigHash string            `json:"config_hash"` // sha256 of the resulting .config
	Compiler   string            `json:"compiler"`
	Linker     string            `json:"linker"`
	Objects    int               `json:"objects"` // objects make compiled in the last full build
}

func (b *Builder) logf(format string, args ...any) { fmt.Fprintf(b.Log, format+"\n", args...) }

func (b *Builder) seriesDir() string { return filepath.Join(b.Project, "kernel-patches", b.Release) }

// inputs gathers what decides the result.
func (b *Builder) inputs(ctx context.Context, v Variant) (Base, Source, []Patch, Meta, error) {
	var meta Meta
	base, err := ReadBase(filepath.Join(b.seriesDir(), "base"))
	if err != nil {
		return base, Source{}, nil, meta, err
	}
	src, err := FindSource(ctx, base)
	if err != nil {
		return base, src, nil, meta, err
	}
	series, err := ReadSeries(b.seriesDir())
	if err != nil {
		return base, src, nil, meta, err
	}
	meta = Meta{
		Variant: v.Name, Source: src.Package, Version: src.Version, MadeFor: base.Version,
		Patches: map[string]string{}, Fragments: map[string]string{},
	}
	all := sha256.New()
	for _, p := range series {
		meta.Patches[p.Name] = hexSum(p.Data)
		all.Write(p.Data)
	}
	meta.PatchHash = hex.EncodeToString(all.Sum(nil))
	for _, f := range v.Fragments {
		data, err := os.ReadFile(b.fragment(f))
		if err != nil {
			return base, src, nil, meta, err
		}
		meta.Fragments[f] = hexSum(data)
	}
	if meta.Compiler, err = firstLine(ctx, "gcc", "--version"); err != nil {
		return base, src, nil, meta, err
	}
	if meta.Linker, err = firstLine(ctx, "ld", "--version"); err != nil {
		return base, src, nil, meta, err
	}
	words := []string{v.Name, src.Package, src.Version, meta.PatchHash, meta.Compiler, meta.Linker}
	for _, f := range v.Fragments {
		words = append(words, f, meta.Fragments[f])
	}
	meta.Key = hexSum([]byte(strings.Join(append(words, fixedWords...), "\x00")))[:20]
	return base, src, series, meta, nil
}

func (b *Builder) fragment(name string) string {
	return filepath.Join(b.Project, "kernel-patches", "config", name)
}

func (b *Builder) dir(kind string, parts ...string) string {
	return filepath.Join(b.Cache, "kernel", strings.Join(append([]string{kind}, parts...), "-"))
}

// Build returns the kernel of variant v, building what is missing.
func (b *Builder) Build(ctx context.Context, v Variant) (*Kernel, error) {
	base, src, series, meta, err := b.inputs(ctx, v)
	if err != nil {
		return nil, err
	}
	k := &Kernel{
		Variant: v.Name, Key: meta.Key,
		Tree:    b.dir("tree", src.Version),
		Objects: b.dir("obj", src.Version, v.Name),
	}
	unlock, err := b.lock(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := k.load(b); err == nil && readStamp(k.Objects) == k.Key && readStamp(k.Tree) == meta.PatchHash {
		return k, nil
	}
	if src.Version == base.Version {
		b.logf("kernel: %s %s, %d patches made for it, variant %q", src.Package, src.Version, len(series), v.Name)
	} else {
		b.logf("kernel: found %s %s; the series was made for %s: trying, without fuzz", src.Package, src.Version, base.Version)
	}
	release, err := b.prepareTree(ctx, base, src, series, meta, k.Tree)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := b.compile(ctx, v, k, &meta); err != nil {
		return nil, err
	}
	if err := k.publish(b, meta); err != nil {
		return nil, err
	}
	if err := k.load(b); err != nil {
		return nil, err
	}
	return k, writeStamp(k.Objects, k.Key)
}

// Tree unpacks and patches the source without building; it returns the tree.
func (b *Builder) Tree(ctx context.Context, v Variant) (string, []Patch, error) {
	base, src, series, meta, err := b.inputs(ctx, v)
	if err != nil {
		return "", nil, err
	}
	tree := b.dir("tree", src.Version)
	release, err := b.prepareTree(ctx, base, src, series, meta, tree)
	if err != nil {
		return "", nil, err
	}
	release()
	return tree, series, nil
}

// prepareTree brings the tree to the state of the series. It returns holding the
// tree for reading, so that nobody patches it while it is compiled.
func (b *Builder) prepareTree(ctx context.Context, base Base, src Source, series []Patch, meta Meta, tree string) (func(), error) {
	for {
		l, err := b.openLock("tree")
		if err != nil {
			return nil, err
		}
		if err := l.take(ctx, b, syscall.LOCK_SH); err != nil {
			return nil, err
		}
		if readStamp(tree) == meta.PatchHash {
			return l.release, nil
		}
		// Asking for more while holding some is how two of us would wait for
		// each other: let go first, then look again.
		l.release()
		if err := b.patchTree(ctx, base, src, series, meta, tree); err != nil {
			return nil, err
		}
	}
}

// patchTree does the work of prepareTree, with the tree to itself.
func (b *Builder) patchTree(ctx context.Context, base Base, src Source, series []Patch, meta Meta, tree string) error {
	unlock, err := b.lock(ctx, "tree")
	if err != nil {
		return err
	}
	defer unlock()
	if !exists(tree) {
		b.logf("kernel: unpacking %s (about 20 s, 1 GB)", src.Tarball)
		if sum, err := fileSHA256(src.Tarball); err != nil {
			return err
		} else if src.Version == base.Version && sum != base.SHA256 {
			return fmt.Errorf("%s is not what %s %s ships (sha256 %s): reinstall the package", src.Tarball, src.Package, src.Version, sum)
		}
	}
	if err := unpack(ctx, src, tree); err != nil {
		return err
	}
	if readStamp(tree) == meta.PatchHash {
		return nil
	}
	if err := clearStamp(tree); err != nil {
		return err
	}
	if err := applySeries(ctx, base, src, series, tree, b.dir("orig", src.Version)); err != nil {
		return err
	}
	return writeStamp(tree, meta.PatchHash)
}

// compile configures and builds in k.Objects.
func (b *Builder) compile(ctx context.Context, v Variant, k *Kernel, meta *Meta) error {
	if err := clearStamp(k.Objects); err != nil {
		return err
	}
	if err := os.MkdirAll(k.Objects, 0o755); err != nil {
		return err
	}
	if err := b.configure(ctx, v, k); err != nil {
		return err
	}
	total := v.Objects
	full := true
	var last Meta
	if data, err := os.ReadFile(filepath.Join(k.Objects, "last-build.json")); err == nil && json.Unmarshal(data, &last) == nil {
		total, full = last.Objects, false
		b.logf("kernel %s: rebuilding what changed (a full build takes about %.0f min on two cores)", v.Name, v.Minutes)
	} else {
		b.logf("kernel %s: building, about %.0f min on two cores", v.Name, v.Minutes)
	}
	if err := repair(k.Objects); err != nil {
		return err
	}
	p := newProgress(b.Log, "kernel "+v.Name, total, b.TTY)
	start := time.Now()
	if err := writeFile(filepath.Join(k.Objects, buildingName), nil, 0o644); err != nil {
		return err
	}
	err := b.make(ctx, p, k.Tree, "O="+k.Objects, "bzImage", "modules")
	if !errors.Is(err, errKilled) {
		if rerr := os.Remove(filepath.Join(k.Objects, buildingName)); err == nil {
			err = rerr
		}
	}
	if err != nil {
		return err
	}
	compiled := p.done()
	b.logf("kernel %s: built, %d objects compiled in %s", v.Name, compiled, time.Since(start).Round(time.Second))
	meta.Objects = compiled
	if !full {
		meta.Objects = max(last.Objects, compiled)
	}
	config, err := os.ReadFile(filepath.Join(k.Objects, ".config"))
	if err != nil {
		return err
	}
	meta.ConfigHash = hexSum(config)
	data, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(k.Objects, "last-build.json"), data, 0o644)
}

// configure writes .config (tinyconfig, then the fragments, then olddefconfig)
// and checks that each fragment line is in the result.
func (b *Builder) configure(ctx context.Context, v Variant, k *Kernel) error {
	var paths []string
	for _, f := range v.Fragments {
		paths = append(paths, b.fragment(f))
	}
	want, err := readFragments(paths)
	if err != nil {
		return err
	}
	// In a scratch folder, so that a .config that comes out as before keeps its
	// time and make has nothing to redo.
	scratch, err := os.MkdirTemp(k.Objects, "config-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := b.make(ctx, nil, k.Tree, "O="+scratch, "tinyconfig"); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(scratch, ".config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, s := range want {
		fmt.Fprintln(f, s.line)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := b.make(ctx, nil, k.Tree, "O="+scratch, "olddefconfig"); err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(scratch, ".config"))
	if err != nil {
		return err
	}
	if err := checkConfig(string(config), want); err != nil {
		return err
	}
	return syncFile(filepath.Join(k.Objects, ".config"), filepath.Join(scratch, ".config"))
}

// publish copies the finished kernel to out/<key>, by rename.
func (k *Kernel) publish(b *Builder, meta Meta) error {
	out := filepath.Join(b.Cache, "kernel", "out", k.Key)
	part := out + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	for dst, src := range map[string]string{
		"bzImage": "arch/x86/boot/bzImage", "System.map": "System.map", "config": ".config",
	} {
		if err := copyFile(filepath.Join(part, dst), filepath.Join(k.Objects, src)); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(part, "meta.json"), data, 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.Rename(part, out); err != nil {
		return err
	}
	return prune(filepath.Dir(out), 8)
}

// load fills in the paths of a finished kernel.
func (k *Kernel) load(b *Builder) error {
	out := filepath.Join(b.Cache, "kernel", "out", k.Key)
	data, err := os.ReadFile(filepath.Join(out, "meta.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &k.Meta); err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	k.BzImage = filepath.Join(out, "bzImage")
	k.Config = filepath.Join(out, "config")
	k.SystemMap = filepath.Join(out, "System.map")
	return nil
}

// prune keeps the newest n entries of dir.
func prune(dir string, n int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	age := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			age[e.Name()] = info.ModTime()
		}
	}
	sort.Slice(entries, func(i, j int) bool { return age[entries[i].Name()].After(age[entries[j].Name()]) })
	for _, e := range entries[min(n, len(entries)):] {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// The stamp of a folder says which inputs it holds the complete result of.
const stampName = ".sandstream-stamp"

func readStamp(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, stampName))
	if err != nil {
		return ""
	}
	return string(data)
}

func writeStamp(dir, s string) error {
	return writeFile(filepath.Join(dir, stampName), []byte(s), 0o644)
}

func clearStamp(dir string) error {
	err := os.Remove(filepath.Join(dir, stampName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func firstLine(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: run 'make deps'", name, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}
