// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Progress shows how far a long job is: a bar when stderr is a terminal, else
// a plain line at most every ten seconds. Nothing appears in the first second,
// so that short jobs stay silent. Methods are safe for concurrent use; a nil
// Progress does nothing.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	label string
	done  int
	total int
	next  time.Time
	said  bool
	pool  *mpb.Progress
	bar   *mpb.Bar
}

const (
	progressQuiet = time.Second
	progressEvery = 10 * time.Second
)

// Progress starts showing a job of total steps; end it with Done. It is nil
// with --no-progress.
func (r *Run) Progress(label string, total int) *Progress {
	if r.quiet {
		return nil
	}
	return NewProgress(r.Err, label, total)
}

// NewProgress is Run.Progress for commands without a Run.
func NewProgress(w io.Writer, label string, total int) *Progress {
	p := &Progress{w: w, label: label, total: total, next: time.Now().Add(progressQuiet)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		delay := make(chan struct{})
		time.AfterFunc(progressQuiet, func() { close(delay) })
		p.pool = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRenderDelay(delay))
		p.bar = p.pool.AddBar(int64(total), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(label+" "), decor.CountersNoUnit("%d/%d")),
			mpb.AppendDecorators(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_MMSS), "")))
	}
	return p
}

// Add counts n more steps as finished.
func (p *Progress) Add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.bar != nil {
		p.bar.IncrBy(n)
		return
	}
	if now := time.Now(); now.After(p.next) {
		p.next, p.said = now.Add(progressEvery), true
		fmt.Fprintf(p.w, "%s: %d of %d\n", p.label, p.done, p.total)
	}
}

// Done ends the display, finished or not.
func (p *Progress) Done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Abort(true)
		p.pool.Wait()
		return
	}
	if p.said {
		fmt.Fprintf(p.w, "%s: %d of %d\n", p.label, p.done, p.total)
	}
}
