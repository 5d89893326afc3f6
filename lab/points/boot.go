// SPDX-License-Identifier: Apache-2.0

package points

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sandstream/internal/report/results"
	"sandstream/lab/vm"
)

// A Boot is one machine and its job.
type Boot struct {
	Name        string
	Exact       bool // guest time counts instructions
	Mitigations bool // CPU mitigations on
	Network     bool // forwarder port and generator
	Retries     int  // of a boot that fails; none in an exact one: it would fail the same way
	Cost        float64
	Fill        func(j *vm.Job)
}

// A Program is how one program of a boot ended.
type Program struct {
	Name   string `json:"name"`
	How    string `json:"how"` // "exit 0"
	Output string `json:"output"`
}

// An Outcome is what a boot left.
type Outcome struct {
	Name     string            `json:"name"`
	Key      string            `json:"key"`
	Command  string            `json:"command"` // QEMU's
	Seconds  float64           `json:"seconds"` // host time
	Programs []Program         `json:"programs"`
	Files    map[string][]byte `json:"-"` // collected, by base name
	FileList []string          `json:"files"`
}

// Output returns what the program of that name printed; an error if it did not
// end well.
func (o *Outcome) Output(program string) (string, error) {
	for _, p := range o.Programs {
		if p.Name == program {
			if p.How != "exit 0" {
				return p.Output, fmt.Errorf("%s: %s ended with %s: %s", o.Name, program, p.How, strings.TrimSpace(p.Output))
			}
			return p.Output, nil
		}
	}
	return "", fmt.Errorf("%s: %s did not run", o.Name, program)
}

// Lines decodes what the program printed: one JSON object a line.
func Lines[T any](o *Outcome, program string) ([]T, error) {
	text, err := o.Output(program)
	if err != nil {
		return nil, err
	}
	var list []T
	for line := range strings.Lines(text) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			return list, fmt.Errorf("%s: %s printed %q: %w", o.Name, program, strings.TrimSpace(line), err)
		}
		list = append(list, v)
	}
	return list, nil
}

const pointsDir = "points"

func (e *Env) job(b Boot) *vm.Job {
	j := &vm.Job{}
	if e.Lab.Has("kmod") {
		j.Module("/lib/modules/uls.ko", "")
	}
	if b.Network {
		j.Module("/lib/modules/ulsgen.ko", "")
	}
	b.Fill(j)
	return j
}

// one boots a machine and waits for its end.
func (e *Env) one(ctx context.Context, b Boot) (*Outcome, error) {
	job := e.job(b)
	key, err := e.key(b, job)
	if err != nil {
		return nil, err
	}
	r, err := vm.Run(ctx, vm.Config{Machine: e.machine(b), Image: e.Lab.Image, Job: job, Time: 15 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name, err)
	}
	o := &Outcome{Name: b.Name, Key: key, Command: r.Command, Seconds: r.Elapsed.Seconds(), Files: map[string][]byte{}}
	for _, p := range r.Programs {
		o.Programs = append(o.Programs, Program{Name: p.Name, How: p.How, Output: string(p.Output)})
		if !p.OK() {
			return o, fmt.Errorf("%s: %s ended with %s: %s", b.Name, p.Name, p.How, strings.TrimSpace(string(p.Output)))
		}
	}
	for name, f := range r.Files {
		base := filepath.Base(name)
		o.Files[base] = f.Data
		o.FileList = append(o.FileList, base)
	}
	return o, nil
}

// save keeps an outcome in the run's folder; the JSON comes last, so that it
// stands for a whole outcome.
func (o *Outcome) save(dir string) error {
	if dir == "" {
		return nil
	}
	dir = filepath.Join(dir, pointsDir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, data := range o.Files {
		if err := os.WriteFile(filepath.Join(dir, o.Name+"."+name), data, 0o666); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, o.Name+".json"), append(data, '\n'), 0o666)
}

// load returns an earlier outcome if it has the key, nil otherwise.
func load(dir, name, key string) *Outcome {
	dir = filepath.Join(dir, pointsDir)
	data, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return nil
	}
	o := &Outcome{Files: map[string][]byte{}}
	if json.Unmarshal(data, o) != nil || o.Key != key {
		return nil
	}
	for _, f := range o.FileList {
		if o.Files[f], err = os.ReadFile(filepath.Join(dir, name+"."+f)); err != nil {
			return nil
		}
	}
	return o
}

// Boots runs the boots, Jobs at a time, and returns the outcomes of those that
// succeeded by name. The error joins what went wrong with the others; when ctx
// ends, it says how many were not reached.
func (e *Env) Boots(ctx context.Context, run *results.Run, boots []Boot) (map[string]*Outcome, error) {
	var (
		mu       sync.Mutex
		group    sync.WaitGroup
		outcomes = map[string]*Outcome{}
		errs     []error
		todo     []Boot
	)
	for _, b := range boots {
		if e.Resume != "" {
			if key, err := e.key(b, e.job(b)); err == nil {
				if o := load(e.Resume, b.Name, key); o != nil {
					outcomes[b.Name] = o
					if err := o.save(run.Dir); err != nil {
						return outcomes, err
					}
					continue
				}
			}
		}
		todo = append(todo, b)
	}
	e.announce(run, len(boots), todo)
	bar := run.Progress(run.Meta.Experiment, len(boots))
	bar.Add(len(boots) - len(todo))
	queue := make(chan Boot)
	for range max(1, e.Jobs) {
		group.Go(func() {
			for b := range queue {
				o, err := e.one(ctx, b)
				for tries := 0; err != nil && tries < b.Retries && ctx.Err() == nil; tries++ {
					run.Logf("%v; once more", err)
					o, err = e.one(ctx, b)
				}
				mu.Lock()
				if err == nil {
					err = o.save(run.Dir)
				}
				if err != nil && ctx.Err() == nil {
					errs = append(errs, err)
					run.Logf("%v", err)
				}
				if err == nil {
					outcomes[b.Name] = o
				}
				mu.Unlock()
				bar.Add(1)
			}
		})
	}
	for _, b := range todo {
		select {
		case queue <- b:
		case <-ctx.Done():
		}
	}
	close(queue)
	group.Wait()
	bar.Done()
	if ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("interrupted with %d of %d points finished; go on with --resume: %w",
			len(outcomes), len(boots), context.Cause(ctx)))
	}
	return outcomes, errors.Join(errs...)
}

func (e *Env) announce(run *results.Run, all int, todo []Boot) {
	seconds, longest := 0.0, 0.0
	for _, b := range todo {
		seconds += b.Cost
		longest = max(longest, b.Cost)
	}
	run.Meta.Extra["expected_seconds"] = max(seconds/float64(max(1, e.Jobs)), longest)
	run.Logf("%s: %d points, %d of them from an earlier run; about %s with %d machines at a time",
		run.Meta.Experiment, all, all-len(todo),
		time.Duration(max(seconds/float64(max(1, e.Jobs)), longest)*float64(time.Second)).Round(5*time.Second), e.Jobs)
}

// Repeat boots twice and says where the outcomes differ: nil if every byte is
// the same.
func (e *Env) Repeat(ctx context.Context, b Boot) error {
	first, err := e.one(ctx, b)
	if err != nil {
		return err
	}
	second, err := e.one(ctx, b)
	if err != nil {
		return err
	}
	for i, p := range first.Programs {
		if q := second.Programs[i]; p != q {
			return fmt.Errorf("%s: two runs of the same seed differ: %s printed\n%s\nand then\n%s", b.Name, p.Name, p.Output, q.Output)
		}
	}
	for name, data := range first.Files {
		if string(data) != string(second.Files[name]) {
			return fmt.Errorf("%s: two runs of the same seed differ in %s", b.Name, name)
		}
	}
	return nil
}
