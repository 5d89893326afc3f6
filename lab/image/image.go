// SPDX-License-Identifier: Apache-2.0

// Package image puts the laboratory together: kernel, module, libraries, tools and
// the guest's programs, in one image that [vm.Run] boots.
//
// What a guest finds:
//
//	/init                 PID 1 (lab/guest/init)
//	/bin                  busybox and its commands, ulsctl, overlayd
//	/lib/modules          uls.ko of kmod/, ulsgen.ko of lab/guest/gen (the generator),
//	                      kforward.ko of lab/guest/kforward (a contender),
//	                      kfpu.ko of lab/guest/kfpu (for a test)
//	/spa                  the SPAs of sandboxlib/, for example echo.spa; /spa/tests: its test SPAs
//	/tests/NAME           test programs: lab/tests/NAME
//	/guest/contenders     lab/guest/contenders: what the sandbox is compared with
//	/guest/NAME           an experiment's programs: experiments/NAME/guest
//	/results              empty, in memory: what a job may collect
//
// A folder of guest programs is built by these rules:
//
//   - With a Makefile, make runs there and every executable it left is taken.
//   - Without one, each .c file that defines main is a static program of that name,
//     and the folder's other .c and .S files are linked into it (GNU C 11, -Wall -Wextra
//     -Werror -pthread; the folder, kmod/uapi, kmod/generated/uapi and lab/guest/gen
//     are searched for headers; -lm). Files named .bpf.c are left alone.
//   - .go files together are one static program named as the folder.
//   - .sh files, and files below data/, are taken as they are.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sandstream/lab/kbuild"
	"sandstream/lab/vm"
)

// Release is the folder of the kernel series the lab uses.
const Release = "6.12"

// Options say what to build.
type Options struct {
	Project string    // the project's root; found from the working folder if empty
	Variant string    // kernel variant; "lab" if empty
	Log     io.Writer // progress and remarks; os.Stderr if nil

	// KeepGoing leaves a part that does not build out of the image, and says so,
	// instead of failing.
	KeepGoing bool
}

// A Lab is everything a run needs.
type Lab struct {
	Project string
	Cache   string
	Kernel  *kbuild.Kernel
	Image   *vm.Image // shared: Clone it before adding to it
	Parts   []Part    // what was built, or why not
}

// A Part is one component of the image.
type Part struct {
	Name    string        // its folder in the project
	Files   []string      // guest paths it contributed
	Missing string        // why it contributed nothing; empty if it did
	Took    time.Duration // time to build it
}

// Has reports whether the part of that folder is in the image.
func (l *Lab) Has(name string) bool {
	for _, p := range l.Parts {
		if p.Name == name {
			return p.Missing == ""
		}
	}
	return l.Image.Has("/" + name)
}

// HasPatch reports whether the kernel has a patch with word in its file name.
func (l *Lab) HasPatch(word string) bool {
	for name := range l.Kernel.Meta.Patches {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// ProjectRoot returns the nearest folder above the working folder that holds
// kernel-patches/.
func ProjectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "kernel-patches", Release, "base")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not inside the project (no kernel-patches/%s above it)", dir, Release)
		}
	}
}

// Builder returns the kernel builder that [Build] uses.
func Builder(o Options) (*kbuild.Builder, error) {
	if o.Project == "" {
		root, err := ProjectRoot()
		if err != nil {
			return nil, err
		}
		o.Project = root
	}
	cache, err := kbuild.DefaultCache()
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	return &kbuild.Builder{
		Project: o.Project, Cache: cache, Release: Release, Log: o.Log, TTY: isTerminal(o.Log),
	}, nil
}

// Build builds whatever is not built yet and returns the lab. With nothing
// changed it takes a few seconds.
func Build(ctx context.Context, o Options) (*Lab, error) {
	b, err := Builder(o)
	if err != nil {
		return nil, err
	}
	if o.Variant == "" {
		o.Variant = "lab"
	}
	variant, err := kbuild.FindVariant(o.Variant)
	if err != nil {
		return nil, err
	}
	l := &Lab{Project: b.Project, Cache: b.Cache, Image: &vm.Image{}}
	if l.Kernel, err = b.Build(ctx, variant); err != nil {
		return nil, err
	}
	a := &assembly{lab: l, builder: b, keepGoing: o.KeepGoing}
	if err := a.all(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Machine returns a machine with the lab's kernel.
func (l *Lab) Machine() vm.Machine { return vm.Machine{Kernel: l.Kernel.BzImage} }

// Missing returns a line for each part that is not in the image.
func (l *Lab) Missing() []string {
	var lines []string
	for _, p := range l.Parts {
		if p.Missing != "" {
			lines = append(lines, p.Name+": "+p.Missing)
		}
	}
	return lines
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && !strings.HasSuffix(f.Name(), "null")
}

// errAbsent marks a part that this tree does not have, or cannot have yet.
var errAbsent = errors.New("not in this tree")
