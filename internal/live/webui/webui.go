// SPDX-License-Identifier: Apache-2.0

// Package webui is the daemon's web page: the cube, the streams and the state of
// each contract, live. It shows and changes nothing. The page is plain HTML, CSS
// and JavaScript, embedded; it asks nothing of any other server.
package webui

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

//go:embed page
var files embed.FS

// Times of the stream of events.
const (
	every = 500 * time.Millisecond
	alive = 10 * time.Second       // a comment, so that a dead reader is noticed
	fresh = 200 * time.Millisecond // all readers see one document for so long

	walked = 30 * time.Second // and one walk over the overlay
)

// maxReaders bounds the pages that are open at once.
const maxReaders = 64

// Page serves the page, and what it shows at /events: server-sent events, each
// a JSON document with status, topology, streams and contracts, the answers of
// the control API. What it shows of the whole overlay, if it is asked to, is at
// /overlay: the answer to Directory.
type Page struct {
	mux      *http.ServeMux
	snapshot made
	overlay  made
	readers  atomic.Int32
}

// made is a document that is made when it is asked for, unless there is a fresh one: many
// readers cost the daemon no more than one.
type made struct {
	make  func(ctx context.Context) ([]byte, error)
	fresh time.Duration

	mu   sync.Mutex
	last []byte
	at   time.Time
}

func (d *made) get(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && time.Since(d.at) < d.fresh {
		return d.last, nil
	}
	b, err := d.make(ctx)
	if err == nil {
		d.last, d.at = b, time.Now()
	}
	return b, err
}

// New makes a page of what snapshot gives, and on request of the overlay, which is a walk
// over all of it.
func New(snapshot, overlay func(ctx context.Context) ([]byte, error)) *Page {
	p := &Page{
		mux:      http.NewServeMux(),
		snapshot: made{make: snapshot, fresh: fresh},
		overlay:  made{make: overlay, fresh: walked},
	}
	sub, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // embedded: it is there
	}
	p.mux.Handle("GET /", http.FileServerFS(sub))
	p.mux.HandleFunc("GET /events", p.events)
	p.mux.HandleFunc("GET /snapshot", once(&p.snapshot))
	p.mux.HandleFunc("GET /overlay", once(&p.overlay))
	return p
}

// ServeHTTP is part of http.Handler. It answers as Direct does.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	Direct(http.HandlerFunc(p.serve)).ServeHTTP(w, r)
}

// Direct lets h answer only to requests that name an address or localhost: another
// site's page in the same browser cannot read this host's by pointing a name of
// its own here.
func Direct(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !direct(r.Host) {
			http.Error(w, fmt.Sprintf("%q names another site: use this host's address or localhost", r.Host), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	p.mux.ServeHTTP(w, r)
}

func direct(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

func once(d *made) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := d.get(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b) // the reader may be gone: nobody to tell
	}
}

func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	if p.readers.Add(1) > maxReaders {
		p.readers.Add(-1)
		http.Error(w, fmt.Sprintf("%d pages are open already: close some", maxReaders), http.StatusServiceUnavailable)
		return
	}
	defer p.readers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	c := http.NewResponseController(w)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last []byte
	said := time.Now()
	for {
		b, err := p.snapshot.get(r.Context())
		if err != nil {
			return
		}
		switch {
		case !bytes.Equal(b, last):
			last, said = b, time.Now()
			_, err = fmt.Fprintf(w, "data: %s\n\n", b)
		case time.Since(said) > alive:
			said = time.Now()
			_, err = fmt.Fprint(w, ":\n\n")
		}
		if err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
