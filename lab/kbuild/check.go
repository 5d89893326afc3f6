// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Checkpatch runs the kernel's own checkpatch.pl --strict over the series and over
// the hand-written sources of the module folders dirs (generated ones are left
// out). It returns what checkpatch said, one finding a line; nothing means clean.
func (b *Builder) Checkpatch(ctx context.Context, tree string, series []Patch, dirs ...string) ([]string, error) {
	var findings []string
	script := filepath.Join(tree, "scripts", "checkpatch.pl")
	// checkpatch leaves a cache of names in its working folder.
	work, err := os.MkdirTemp("", "checkpatch-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	check := func(args ...string) error {
		// FILE_PATH_CHANGES asks for a line in MAINTAINERS: this series is not upstream.
		ignore := "FILE_PATH_CHANGES" + b.exemptions(args[len(args)-1])
		args = append([]string{script, "--strict", "--terse", "--no-summary", "--show-types", "--ignore", ignore, "--root", tree}, args...)
		cmd := exec.CommandContext(ctx, "perl", args...)
		cmd.Dir = work
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("checkpatch: %w: run 'make deps'", err)
		}
		text := strings.TrimSpace(string(out))
		if text != "" {
			findings = append(findings, strings.Split(text, "\n")...)
		} else if err != nil {
			return fmt.Errorf("checkpatch %s: %w", args[len(args)-1], err)
		}
		return nil
	}
	for _, p := range series {
		if err := check(p.Path); err != nil {
			return nil, err
		}
	}
	for _, dir := range dirs {
		files, err := sources(filepath.Join(b.Project, dir))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if err := check("--file", f); err != nil {
				return nil, err
			}
		}
	}
	return findings, nil
}

// exempted are checkpatch findings that are wrong about a file, each with the reason.
var exempted = map[string]string{
	"kmod/upcall.c":        "ENOSYS",        // an SPA's unknown service is an invalid system call
	"lab/guest/gen/shot.c": "INCLUDE_LINUX", // register_nmi_handler() is in asm/nmi.h alone
}

// exemptions returns the checkpatch types that cannot be met in a file.
func (b *Builder) exemptions(path string) string {
	var types string
	if rel, err := filepath.Rel(b.Project, path); err == nil && exempted[rel] != "" {
		types = "," + exempted[rel]
	}
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
	case strings.Contains(string(text), "Linux-syscall-note"):
		// Shared with user level, which has no BIT() and spells the assertion as C11 does.
		types += ",BIT_MACRO,CAMELCASE"
	case strings.Contains(string(text), "TRACE_EVENT("):
		// The usual shape of trace events; checkpatch spares include/trace alone.
		types += ",OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT"
	}
	return types
}

// sources returns the .c, .h and .S files below dir that are not generated and
// not programs for the guest's user level.
func sources(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		if d.IsDir() && (d.Name() == "generated" || d.Name() == "tests") {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".c", ".h", ".S":
			if !strings.HasSuffix(path, ".mod.c") {
				files = append(files, path)
			}
		}
		return nil
	})
	return files, err
}

// Static compiles, with W=1 and sparse, the files that the series touches and the
// module folders dirs, in an object directory of its own. It returns the warnings
// on lines the series added and all warnings on the module's files.
func (b *Builder) Static(ctx context.Context, k *Kernel, series []Patch, dirs ...string) ([]string, error) {
	unlock, err := b.reading(ctx, k, k.Variant+"-check")
	if err != nil {
		return nil, err
	}
	defer unlock()
	objects := k.Objects + "-check"
	if err := os.MkdirAll(objects, 0o755); err != nil {
		return nil, err
	}
	if err := syncFile(filepath.Join(objects, ".config"), filepath.Join(k.Objects, ".config")); err != nil {
		return nil, err
	}
	var targets []string
	added := map[string]map[int]bool{}
	for _, f := range uniqueFiles(series) {
		if added[f], err = addedLines(ctx, b.origOf(k, f), filepath.Join(k.Tree, f)); err != nil {
			return nil, err
		}
		// What is not compiled in this configuration, and what is not a unit of the
		// kernel proper (boot code, the vDSO), has no object here.
		object := strings.TrimSuffix(f, filepath.Ext(f)) + ".o"
		if filepath.Ext(f) == ".c" && exists(filepath.Join(k.Objects, object)) {
			targets = append(targets, object)
		}
	}
	var warnings []string
	if len(targets) > 0 {
		if err := b.make(ctx, nil, k.Tree, "O="+objects, "prepare"); err != nil {
			return nil, err
		}
		// An object that is up to date would print nothing.
		for _, t := range targets {
			if err := os.Remove(filepath.Join(objects, t)); err != nil && !os.IsNotExist(err) {
				return nil, err
			}
		}
		out, err := b.makeOutput(ctx, k.Tree, append([]string{"O=" + objects, "W=1", "C=2"}, targets...)...)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, onAddedLines(out, k.Tree, added)...)
	}
	for _, dir := range dirs {
		if !exists(filepath.Join(b.Project, dir, "Kbuild")) && !exists(filepath.Join(b.Project, dir, "Makefile")) {
			continue
		}
		copyDir := filepath.Join(b.Cache, "module", k.Variant+"-check", dir)
		if err := os.RemoveAll(copyDir); err != nil {
			return nil, err
		}
		if err := Mirror(copyDir, filepath.Join(b.Project, dir), kernelSource); err != nil {
			return nil, err
		}
		out, err := b.makeOutput(ctx, k.Tree, "O="+k.Objects, "M="+copyDir, "W=1", "C=2", "modules")
		if err != nil {
			return nil, err
		}
		for _, m := range warningLine.FindAllStringSubmatch(out, -1) {
			if rel, ok := strings.CutPrefix(m[1], copyDir+"/"); ok {
				warnings = append(warnings, fmt.Sprintf("%s/%s:%s: %s", dir, rel, m[2], m[3]))
			}
		}
	}
	return warnings, nil
}

// origOf returns the pristine copy of a file; it may not exist.
func (b *Builder) origOf(k *Kernel, file string) string {
	return filepath.Join(b.dir("orig", k.Meta.Version), file)
}

func uniqueFiles(series []Patch) []string {
	var files []string
	seen := map[string]bool{}
	for _, p := range series {
		for _, f := range p.Files {
			if !seen[f] {
				seen[f] = true
				files = append(files, f)
			}
		}
	}
	return files
}

// addedLines returns the numbers of the lines of file new that old does not have.
// A file old that does not exist is empty.
func addedLines(ctx context.Context, old, new string) (map[int]bool, error) {
	out, err := exec.CommandContext(ctx, "diff", "-N",
		"--unchanged-line-format=", "--old-line-format=", "--new-line-format=%dn\n", old, new).Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("diff %s: %w", new, err)
	}
	lines := map[int]bool{}
	for _, word := range strings.Fields(string(out)) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("diff %s: %w", new, err)
		}
		lines[n] = true
	}
	return lines, nil
}

var warningLine = regexp.MustCompile(`(?m)^([^\s:][^:\n]*):(\d+)(?::\d+)?: (?:warning|error): (.*)$`)

func onAddedLines(out, tree string, added map[string]map[int]bool) []string {
	var found []string
	for _, m := range warningLine.FindAllStringSubmatch(out, -1) {
		file := strings.TrimPrefix(strings.TrimPrefix(m[1], tree+"/"), "../")
		n, err := strconv.Atoi(m[2])
		if err == nil && added[file][n] {
			found = append(found, fmt.Sprintf("%s:%d: %s", file, n, m[3]))
		}
	}
	return found
}

// makeOutput runs make and returns everything it printed.
func (b *Builder) makeOutput(ctx context.Context, tree string, args ...string) (string, error) {
	t := &tailWriter{all: &strings.Builder{}}
	err := b.makeTo(ctx, t, tree, args...)
	return t.all.String(), err
}
