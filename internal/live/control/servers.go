// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/webui"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1/overlayv1connect"
)

// Config says where a Server listens, and what it says of the host.
type Config struct {
	Socket   string // path of the API's unix socket
	Metrics  string // TCP address; "": off
	Web      string // TCP address; "": off
	Version  string
	DataAddr string // of the transport
	Log      *slog.Logger
}

// Server is the control API, and where they are wanted the metrics and the web page.
type Server struct {
	cfg          Config
	host         Host
	start        time.Time
	api          net.Listener
	metrics, web net.Listener
	https        []*http.Server
	cancel       context.CancelFunc // of all calls
	stopped      chan struct{}      // closed when the host is to end
	wg           sync.WaitGroup     // who serves
	watchers     watchers
}

// Open makes the listeners, so that a wrong address is known at once.
func Open(cfg Config) (_ *Server, err error) {
	s := &Server{cfg: cfg, start: time.Now(), stopped: make(chan struct{})}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.api, err = listenUnix(cfg.Socket); err != nil {
		return nil, err
	}
	if s.metrics, err = listenTCP("metrics", cfg.Metrics); err != nil {
		return nil, err
	}
	if s.web, err = listenTCP("web", cfg.Web); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve starts the servers, which ask h.
func (s *Server) Serve(h Host) {
	s.host = h
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	// Made when it is first used: it is the most of an idle host's memory.
	handler := sync.OnceValue(func() http.Handler {
		mux := http.NewServeMux()
		mux.Handle(overlayv1connect.NewOverlayHandler(api{s}, connect.WithCodec(overlayapi.Codec{}), connect.WithReadMaxBytes(8<<20),
			connect.WithCompression("gzip", nil, nil))) // none: it never leaves the machine
		return mux
	})
	s.run(ctx, s.api, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) }))
	if s.metrics != nil {
		s.run(ctx, s.metrics, metricsHandler(h))
	}
	if s.web != nil {
		s.run(ctx, s.web, webui.New(api{s}.snapshot, api{s}.overlay))
	}
}

func (s *Server) run(ctx context.Context, l net.Listener, h http.Handler) {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: h, Protocols: &p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
		HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerConnection: 4 << 20, MaxReceiveBufferPerStream: 4 << 20},
	}
	s.https = append(s.https, srv)
	s.wg.Go(func() {
		// A host that nobody asks anything needs no server yet, whose stack is twice as
		// large and whose first steps make tables. What is wrong the server finds out.
		first, _ := l.Accept()
		if err := srv.Serve(&begun{l, first}); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log.Error("serve", "address", l.Addr(), "err", err)
		}
	})
}

// begun is a listener of which one connection has been taken already.
type begun struct {
	net.Listener
	first net.Conn
}

func (b *begun) Accept() (net.Conn, error) {
	if c := b.first; c != nil {
		b.first = nil
		return c, nil
	}
	return b.Listener.Accept()
}

// Close ends the servers and all calls.
func (s *Server) Close() {
	close(s.stopped)
	if s.cancel != nil {
		s.cancel()
	}
	for _, srv := range s.https {
		// Calls that ended are told so; those that go on are cut.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
		cancel()
	}
	for _, l := range []net.Listener{s.api, s.metrics, s.web} {
		if l != nil {
			l.Close() // again, if its server had begun
		}
	}
	s.wg.Wait()
}

func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// MetricsAddr is where the metrics are served, "" if nowhere.
func (s *Server) MetricsAddr() string { return address(s.metrics) }

// WebAddr is where the web page is served, "" if nowhere.
func (s *Server) WebAddr() string { return address(s.web) }
