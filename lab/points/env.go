// SPDX-License-Identifier: Apache-2.0

package points

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sandstream/internal/report/results"
	"sandstream/lab/image"
	"sandstream/lab/vm"
)

// Env is the lab, built, and where outcomes go.
type Env struct {
	Lab       *image.Lab
	ImageHash string // SHA-256 of the initramfs without its job
	QEMU      string // version
	Jobs      int    // machines at a time
	Resume    string // folder of an earlier run whose outcomes may be used; or ""
}

// Open builds what is not built yet; run shows it and notes what the figures
// stand on.
func Open(ctx context.Context, run *results.Run) (*Env, error) {
	// A part that does not build fails the points that need it, not the others.
	l, err := image.Build(ctx, image.Options{Log: run.Err, KeepGoing: true})
	if err != nil {
		return nil, err
	}
	for _, line := range l.Missing() {
		run.Logf("the lab goes without %s", line)
	}
	sum := sha256.New()
	if _, err := l.Image.WriteTo(sum); err != nil {
		return nil, err
	}
	e := &Env{Lab: l, ImageHash: hex.EncodeToString(sum.Sum(nil)), Jobs: 2}
	if e.QEMU, err = vm.Version(); err != nil {
		return nil, err
	}
	meta := l.Kernel.Meta
	if run.Meta.Extra == nil {
		run.Meta.Extra = map[string]any{}
	}
	for key, value := range map[string]any{
		"guest_kernel":      meta.Source + " " + meta.Version,
		"guest_kernel_key":  meta.Key,
		"guest_patch_hash":  meta.PatchHash,
		"guest_config_hash": meta.ConfigHash,
		"compiler":          meta.Compiler,
		"qemu":              e.QEMU,
		"image_hash":        e.ImageHash,
	} {
		run.Meta.Extra[key] = value
	}
	return e, nil
}

// machine is the hardware of a boot.
func (e *Env) machine(b Boot) vm.Machine {
	m := e.Lab.Machine()
	m.Exact = b.Exact
	m.Mitigations = b.Mitigations
	if !b.Network {
		return m
	}
	// Interrupt moderation is fixed, the same for all contenders, at the rate the
	// data sheet guarantees: QEMU's model goes no higher whatever it is told.
	m.Append = append(m.Append, "e1000e.InterruptThrottleRate=7813")
	m.NICs = []vm.NIC{
		{Hub: 1, Props: []string{"romfile="}},
		{Hub: 1, Model: "e1000", Props: []string{"romfile=", "mitigation=off"}},
	}
	return m
}

// key is a digest of everything that decides what an exact boot prints.
func (e *Env) key(b Boot, job *vm.Job) (string, error) {
	m := e.machine(b)
	m.Kernel = e.Lab.Kernel.Key
	data, err := json.Marshal(struct {
		Machine vm.Machine
		Job     string
		Image   string
		QEMU    string
	}{m, job.String(), e.ImageHash, e.QEMU})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12]), nil
}

// Latest returns the newest results folder of an experiment below base.
func Latest(base, experiment string) (string, error) {
	found, err := filepath.Glob(filepath.Join(base, "*-"+experiment))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no earlier run of %s in %s to resume", experiment, base)
	}
	// The names begin with the time: the last is the newest.
	for i := len(found) - 1; i >= 0; i-- {
		if _, err := os.Stat(filepath.Join(found[i], pointsDir)); err == nil {
			return found[i], nil
		}
	}
	return "", fmt.Errorf("no earlier run of %s in %s has finished points", experiment, base)
}
