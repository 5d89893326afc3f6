// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"sandstream/lab/kbuild"
)

// assembly fills a lab's image.
type assembly struct {
	lab       *Lab
	builder   *kbuild.Builder
	keepGoing bool
}

// all builds the parts in order. A part whose folder does not exist is noted; a
// part that does not build is an error.
func (a *assembly) all(ctx context.Context) error {
	type part struct {
		name  string
		build func(context.Context, string) ([]string, error)
	}
	parts := []part{
		{"lab/guest/init", a.init},
		{"busybox", a.busybox},
		{"kmod", a.module},
		{"lab/guest/gen", a.module},
		{"lab/guest/kforward", a.module},
		{"lab/guest/kfpu", a.module},
		{"sandboxlib", a.sandboxlib},
		{"ctl", a.tool("ulsctl")},
		{"overlayd", a.tool("overlayd")},
	}
	for _, dir := range a.programFolders() {
		parts = append(parts, part{dir, a.programs})
	}
	for _, p := range parts {
		start := time.Now()
		files, err := p.build(ctx, p.name)
		done := Part{Name: p.name, Files: files, Took: time.Since(start)}
		switch {
		case errors.Is(err, errAbsent):
			done.Missing = err.Error()
		case err != nil && a.keepGoing && ctx.Err() == nil:
			done.Missing = "does not build: " + err.Error()
		case err != nil:
			return fmt.Errorf("%s: %w", p.name, err)
		}
		a.lab.Parts = append(a.lab.Parts, done)
	}
	a.lab.Image.AddDir("/results")
	a.lab.Image.AddDir("/root")
	return nil
}

func (a *assembly) path(parts ...string) string {
	return filepath.Join(append([]string{a.lab.Project}, parts...)...)
}

func (a *assembly) exists(parts ...string) bool { return fileExists(a.path(parts...)) }

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// programFolders returns the folders of guest programs in the tree, sorted.
func (a *assembly) programFolders() []string {
	dirs := []string{"lab/guest/contenders"}
	for _, pattern := range []string{"lab/tests/*", "experiments/*/guest"} {
		found, _ := filepath.Glob(a.path(pattern)) // the pattern is a constant and well formed
		for _, f := range found {
			if st, err := os.Stat(f); err == nil && st.IsDir() {
				rel, _ := filepath.Rel(a.lab.Project, f) // both absolute
				dirs = append(dirs, rel)
			}
		}
	}
	return dirs
}

// guestDir returns where the programs of a folder go.
func guestDir(dir string) string {
	if strings.HasSuffix(dir, "/guest") {
		return "/guest/" + filepath.Base(filepath.Dir(dir))
	}
	if dir == "lab/guest/contenders" {
		return "/guest/contenders"
	}
	return "/tests/" + filepath.Base(dir)
}

func (a *assembly) add(name, src string) (string, error) {
	return name, a.lab.Image.AddFile(name, src)
}

func (a *assembly) init(ctx context.Context, dir string) ([]string, error) {
	out, err := a.compileC(ctx, "init", []string{a.path(dir, "init.c")}, nil)
	if err != nil {
		return nil, err
	}
	name, err := a.add("/init", out)
	return []string{name}, err
}

// busybox takes Debian's static busybox and links its commands.
func (a *assembly) busybox(ctx context.Context, _ string) ([]string, error) {
	const path = "/bin/busybox"
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: run 'make deps' (package busybox-static)", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is dynamically linked: install busybox-static", path)
		}
	}
	list, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", path, err)
	}
	if _, err := a.add("/bin/busybox", path); err != nil {
		return nil, err
	}
	for _, command := range strings.Fields(string(list)) {
		if command != "busybox" {
			a.lab.Image.AddLink("/bin/"+command, "busybox")
		}
	}
	return []string{"/bin/busybox"}, nil
}

// module builds the kernel module in a folder against the lab's kernel.
func (a *assembly) module(ctx context.Context, dir string) ([]string, error) {
	if !a.exists(dir, "Kbuild") && !a.exists(dir, "Makefile") {
		return nil, errAbsent
	}
	if err := ModuleNeeds(a.lab.Kernel, dir); err != nil {
		return nil, err
	}
	modules, err := a.builder.Module(ctx, a.lab.Kernel, dir)
	if err != nil {
		return nil, err
	}
	return a.addAll("/lib/modules", modules)
}

// ModuleNeeds returns why the module in folder dir cannot be built against k, or
// nil: kmod/ needs the interface that the patches add.
func ModuleNeeds(k *kbuild.Kernel, dir string) error {
	const header = "include/linux/uls.h"
	if dir == "kmod" && !fileExists(filepath.Join(k.Tree, header)) {
		return fmt.Errorf("%w: the patch that adds %s", errAbsent, header)
	}
	return nil
}

// sandboxlib runs make there and takes the SPAs it made.
func (a *assembly) sandboxlib(ctx context.Context, dir string) ([]string, error) {
	if !a.exists(dir, "Makefile") {
		return nil, errAbsent
	}
	if err := a.run(ctx, a.path(dir), "make", "--no-print-directory"); err != nil {
		return nil, err
	}
	spas, err := findFiles(a.path(dir), func(path string, _ fs.FileInfo) bool { return filepath.Ext(path) == ".spa" })
	if err != nil {
		return nil, err
	}
	var names []string
	for _, spa := range spas {
		dir := "/spa"
		if filepath.Base(filepath.Dir(spa)) == "tests" {
			dir = "/spa/tests" // they misbehave on purpose
		}
		name, err := a.add(dir+"/"+filepath.Base(spa), spa)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// tool builds the Go program in a folder as /bin/name.
func (a *assembly) tool(name string) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, dir string) ([]string, error) {
		if sources, _ := filepath.Glob(a.path(dir, "*.go")); len(sources) == 0 {
			return nil, errAbsent
		}
		out := filepath.Join(a.lab.Cache, "tools", name)
		if err := a.goBuild(ctx, dir, out); err != nil {
			return nil, err
		}
		return a.addAll("/bin", []string{out})
	}
}

// programs builds one folder of guest programs; see the package comment.
func (a *assembly) programs(ctx context.Context, dir string) ([]string, error) {
	if !a.exists(dir) {
		return nil, errAbsent
	}
	var paths []string
	if a.exists(dir, "Makefile") {
		if err := a.run(ctx, a.path(dir), "make", "--no-print-directory"); err != nil {
			return nil, err
		}
		made, err := findFiles(a.path(dir), func(path string, info fs.FileInfo) bool {
			return info.Mode()&0o111 != 0 && filepath.Ext(path) != ".sh" && filepath.Ext(path) != ".py"
		})
		if err != nil {
			return nil, err
		}
		paths = append(paths, made...)
	} else {
		made, err := a.plainC(ctx, dir)
		if err != nil {
			return nil, err
		}
		paths = append(paths, made...)
	}
	if goFiles, _ := filepath.Glob(a.path(dir, "*.go")); len(goFiles) > 0 {
		out := filepath.Join(a.lab.Cache, "guest", dir, "go", filepath.Base(dir))
		if err := a.goBuild(ctx, dir, out); err != nil {
			return nil, err
		}
		paths = append(paths, out)
	}
	scripts, _ := filepath.Glob(a.path(dir, "*.sh"))
	data, err := findFiles(a.path(dir, "data"), func(string, fs.FileInfo) bool { return true })
	if err != nil {
		return nil, err
	}
	return a.addAll(guestDir(dir), append(append(paths, scripts...), data...))
}

var definesMain = regexp.MustCompile(`(?m)^(static )?int\s+main\(`)

// plainC makes one program of each .c file in dir that defines main; the others
// are linked into each of them.
func (a *assembly) plainC(ctx context.Context, dir string) ([]string, error) {
	sources, _ := filepath.Glob(a.path(dir, "*.c")) // the pattern is well formed
	var mains, shared, made []string
	for _, src := range sources {
		if strings.HasSuffix(src, ".bpf.c") {
			continue // compiled for another machine, by whoever loads it
		}
		text, err := os.ReadFile(src)
		if err != nil {
			return nil, err
		}
		if definesMain.Match(text) {
			mains = append(mains, src)
		} else {
			shared = append(shared, src)
		}
	}
	assembler, _ := filepath.Glob(a.path(dir, "*.S"))
	shared = append(shared, assembler...)
	if len(mains) == 0 && len(shared) > 0 {
		return nil, errors.New("no .c file here defines main")
	}
	for _, src := range mains {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		out, err := a.compileC(ctx, filepath.Join("guest", dir, name), append([]string{src}, shared...), []string{a.path(dir)})
		if err != nil {
			return nil, err
		}
		made = append(made, out)
	}
	return made, nil
}

// addAll adds host files under their base names to a guest folder.
func (a *assembly) addAll(dir string, paths []string) ([]string, error) {
	var names []string
	for _, p := range paths {
		name, err := a.add(dir+"/"+filepath.Base(p), p)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// compileC makes one static program. The result is kept under a name that holds a
// digest of the sources, all headers in the include folders, and the compiler's
// version; a change of any of them compiles anew.
func (a *assembly) compileC(ctx context.Context, name string, sources, includes []string) (string, error) {
	for _, dir := range []string{"kmod/uapi", "kmod/generated/uapi", "lab/guest/gen"} {
		if a.exists(dir) {
			includes = append(includes, a.path(dir))
		}
	}
	inputs := append([]string(nil), sources...)
	for _, dir := range includes {
		headers, err := findFiles(dir, func(path string, _ fs.FileInfo) bool { return filepath.Ext(path) == ".h" })
		if err != nil {
			return "", err
		}
		inputs = append(inputs, headers...)
	}
	// The project's path is not part of the key: it is not part of the result.
	flags := []string{"-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-ffile-prefix-map=" + a.lab.Project + "=."}
	sum := sha256.New()
	fmt.Fprintln(sum, a.lab.Kernel.Meta.Compiler, flags[:len(flags)-1])
	for _, path := range inputs {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%d\n%s", len(data), data)
	}
	dir := filepath.Join(a.lab.Cache, "c", name+"-"+hex.EncodeToString(sum.Sum(nil))[:12])
	out := filepath.Join(dir, filepath.Base(name))
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	args := flags
	for _, dir := range includes {
		args = append(args, "-I"+dir)
	}
	args = append(append(args, "-o", out+".part"), sources...)
	args = append(args, "-lm")
	if err := a.run(ctx, a.lab.Project, "gcc", args...); err != nil {
		return "", err
	}
	return out, os.Rename(out+".part", out)
}

// goBuild makes one static Go program; Go's own cache makes repetition cheap.
func (a *assembly) goBuild(ctx context.Context, dir, out string) error {
	return a.run(ctx, a.lab.Project, "go", "build", "-trimpath", "-o", out, "./"+filepath.ToSlash(dir))
}

// run runs a command in a folder; its output is shown only if it fails.
func (a *assembly) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "LC_ALL=C", "MAKEFLAGS=", "MAKELEVEL=")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// findFiles returns the regular files below dir that match, sorted; none if dir
// does not exist.
func findFiles(dir string, match func(path string, info fs.FileInfo) bool) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && match(path, info) {
			found = append(found, path)
		}
		return err
	})
	sort.Strings(found)
	return found, err
}

// GoTest compiles the tests of a Go package, for example "./uls", into one static
// program and returns its path.
func (l *Lab) GoTest(ctx context.Context, pkg string) (string, error) {
	a := &assembly{lab: l}
	dir := strings.TrimPrefix(filepath.ToSlash(pkg), "./")
	out := filepath.Join(l.Cache, "tools", strings.ReplaceAll(dir, "/", "-")+".test")
	return out, a.run(ctx, l.Project, "go", "test", "-c", "-trimpath", "-o", out, "./"+dir)
}
