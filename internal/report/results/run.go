// SPDX-License-Identifier: Apache-2.0

package results

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"sandstream/internal/report/plot"
)

// Meta is what a reader needs to repeat a result and to judge it. The
// experiment fills the upper half, Open the lower.
type Meta struct {
	Experiment string         `json:"experiment"`
	Seed       uint64         `json:"seed"`
	Runs       int            `json:"runs"`            // repetitions behind each figure
	Clock      string         `json:"clock"`           // what the times are: "simulated delay", "wall", "guest virtual time ..."
	Extra      map[string]any `json:"extra,omitempty"` // kernel and patch hash, QEMU version, parameters ...

	Command   []string  `json:"command"`
	Commit    string    `json:"commit"`
	GoVersion string    `json:"go_version"`
	Platform  string    `json:"platform"`
	CPUs      int       `json:"cpus"`
	CPUModel  string    `json:"cpu_model,omitempty"`
	Kernel    string    `json:"host_kernel,omitempty"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Complete  bool      `json:"complete"` // false: interrupted or failed, the rest is what was finished
	Error     string    `json:"error,omitempty"`
}

// Run is one run's folder and output streams. Not for concurrent use, its
// progress bars excepted.
type Run struct {
	Meta   Meta
	Dir    string // "" when results are switched off with --results ""
	Out    io.Writer
	Err    io.Writer
	json   bool
	quiet  bool
	tables []*Table
	files  []string
}

// AddFlags declares the flags every experiment understands: --results,
// --json, --no-progress. A flag set of pflag fits, and one of the standard
// library.
func AddFlags(f interface {
	String(name, value, usage string) *string
	Bool(name string, value bool, usage string) *bool
},
) {
	f.String("results", "results", `folder for results; "" writes no file`)
	f.Bool("json", false, "write result.json to stdout instead of tables")
	f.Bool("no-progress", false, "no progress on stderr")
}

// Flags is what Open reads the flags of AddFlags from: pflag's set has it.
type Flags interface {
	GetString(name string) (string, error)
	GetBool(name string) (bool, error)
}

// Command is what Open needs of the command that runs the experiment: cobra's
// has it. This package does not import cobra, so that a result can be written
// by a program without a command line.
type Command[F Flags] interface {
	Flags() F
	OutOrStdout() io.Writer
	ErrOrStderr() io.Writer
}

// Open makes the run's folder. cmd supplies the flags of AddFlags (its own or
// inherited ones; without them the defaults hold) and the output streams.
func Open[F Flags](cmd Command[F], meta Meta) (*Run, error) {
	r := &Run{Meta: meta, Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
	r.json, _ = cmd.Flags().GetBool("json")
	r.quiet, _ = cmd.Flags().GetBool("no-progress")
	base, err := cmd.Flags().GetString("results")
	if err != nil {
		base = "results"
	}
	m := &r.Meta
	m.Command = append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	m.Commit = commit()
	m.GoVersion, m.Platform, m.CPUs = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH, runtime.GOMAXPROCS(0)
	m.CPUModel, m.Kernel = cpuModel(), hostKernel()
	m.Started = time.Now().UTC()
	if base == "" {
		return r, nil
	}
	if err := os.MkdirAll(base, 0o777); err != nil {
		return nil, fmt.Errorf("results: %w (choose another folder with --results)", err)
	}
	name := fmt.Sprintf("%s-%s-%s", m.Started.Format("20060102T150405Z"), m.Commit, m.Experiment)
	// Two runs in the same second get different folders: Mkdir, not MkdirAll.
	for i := 1; ; i++ {
		r.Dir = filepath.Join(base, name)
		if i > 1 {
			r.Dir = fmt.Sprintf("%s-%d", r.Dir, i)
		}
		err := os.Mkdir(r.Dir, 0o777)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, fs.ErrExist) || i == 1000 {
			return nil, fmt.Errorf("results: %w (choose another folder with --results)", err)
		}
	}
}

// Table prints t to stdout (unless --json) and writes t.Name.csv.
func (r *Run) Table(t *Table) error {
	if err := t.check(); err != nil {
		return err
	}
	r.tables = append(r.tables, t)
	if !r.json {
		if err := t.WriteText(r.Out); err != nil {
			return err
		}
	}
	return r.Raw(t)
}

// Raw writes t.Name.csv and nothing else: for data too long to print. It does
// not appear in result.json.
func (r *Run) Raw(t *Table) error {
	return r.File(t.Name+".csv", t.WriteCSV)
}

// File creates a file in the run's folder with what write writes; with
// results switched off it does nothing.
func (r *Run) File(name string, write func(io.Writer) error) (err error) {
	if r.Dir == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(r.Dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := write(f); err != nil {
		return fmt.Errorf("results: %s: %w", name, err)
	}
	r.files = append(r.files, name)
	return nil
}

// Chart writes c.Name.svg and c.Name.png.
func (r *Run) Chart(c *plot.Chart) error {
	for _, ext := range []string{"svg", "png"} {
		if err := r.File(c.Name+"."+ext, func(w io.Writer) error { return c.Write(w, ext) }); err != nil {
			return err
		}
	}
	return nil
}

// Logf writes one line of talk to stderr.
func (r *Run) Logf(format string, args ...any) {
	fmt.Fprintf(r.Err, format+"\n", args...)
}

// Close writes result.json (metadata and tables) and says on stderr where the
// files are. cause is why the result is not complete, nil if it is; Close
// returns it, joined with its own failure.
func (r *Run) Close(cause error) error {
	r.Meta.Seconds = time.Since(r.Meta.Started).Seconds()
	r.Meta.Complete = cause == nil
	if cause != nil {
		r.Meta.Error = cause.Error()
	}
	doc := struct {
		Meta   Meta           `json:"meta"`
		Tables map[string]any `json:"tables"`
		Files  []string       `json:"files"`
	}{r.Meta, map[string]any{}, r.files}
	for _, t := range r.tables {
		rows := make([]map[string]any, len(t.Rows))
		for i, row := range t.Rows {
			rows[i] = t.object(row)
		}
		doc.Tables[t.Name] = map[string]any{"title": t.Title, "note": t.Note, "columns": t.Columns, "rows": rows}
	}
	write := func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(doc)
	}
	err := r.File("result.json", write)
	if r.json {
		err = errors.Join(err, write(r.Out))
	}
	if r.Dir != "" && !r.quiet {
		r.Logf("results in %s", r.Dir)
	}
	return errors.Join(cause, err)
}

// commit is the first 12 digits of the commit the binary was built from, with
// a "+" if the sources differed from it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		rev, dirty := "", ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				rev = s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+"
			}
		}
		if rev != "" {
			return rev + dirty
		}
	}
	// Built without the stamp (-buildvcs=false): ask the checkout we run in.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	rev := strings.TrimSpace(string(out))
	if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD").Run() != nil {
		rev += "+"
	}
	return rev
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func hostKernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
