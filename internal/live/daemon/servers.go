// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"sandstream/internal/fail"
	"sandstream/internal/live/ownfolder"
	"sandstream/internal/live/webui"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
	"sandstream/overlayapi/overlayv1/overlayv1connect"
)

// servers are the control API on its unix socket, and where they are wanted the
// metrics and the web page.
type servers struct {
	socket       string
	api          net.Listener
	metrics, web net.Listener
	https        []*http.Server
	cancel       context.CancelFunc
	page         *webui.Page
}

// open makes the listeners, so that a wrong address is known at once.
func (s *servers) open(d *Daemon) (err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.api, err = listenUnix(d.cfg.Socket); err != nil {
		return err
	}
	s.socket = d.cfg.Socket
	if s.metrics, err = listenTCP("metrics", d.cfg.Metrics); err != nil {
		return err
	}
	s.web, err = listenTCP("web", d.cfg.Web)
	return err
}

// listenTCP listens where the flag of that name says, if it does.
func listenTCP(flag, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return nil, fail.Usagef("--%s %q is no ADDRESS:PORT, e.g. 127.0.0.1:7080", flag, addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, addr, err)
	}
	return l, nil
}

// listenUnix makes the socket for the daemon's user and group. One that a dead
// daemon left is replaced, one that a living one serves is not.
func listenUnix(path string) (net.Listener, error) {
	if err := overlayapi.CheckSocket(path); err != nil {
		return nil, fail.Usagef("control %w (choose another: --socket)", err)
	}
	dir, mode := filepath.Dir(path), fs.FileMode(0o750)
	if filepath.Dir(dir) == filepath.Clean(os.TempDir()) {
		mode = 0o700
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fmt.Errorf("control socket: %w (choose another: --socket)", err)
	}
	// Who can write the folder could put a socket of his own in this one's place.
	if err := ownfolder.Check(dir); err != nil {
		return nil, fail.Errorf(fail.ErrPermission, "control socket: %w (choose another with --socket)", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another overlayd serves %s: give this one a --socket of its own", path)
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, fail.Errorf(fail.ErrPermission, "control socket %s: %w", path, err)
	}
	if i, err := os.Lstat(path); err == nil && i.Mode()&fs.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w (choose another: --socket)", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// serve starts the servers.
func (s *servers) serve(d *Daemon) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	// Made when it is first used: it is the most of an idle host's memory.
	handler := sync.OnceValue(func() http.Handler {
		mux := http.NewServeMux()
		mux.Handle(overlayv1connect.NewOverlayHandler(api{d}, connect.WithCodec(overlayapi.Codec{}), connect.WithReadMaxBytes(8<<20),
			connect.WithCompression("gzip", nil, nil))) // none: it never leaves the machine
		return mux
	})
	s.run(d, ctx, s.api, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) }))
	if s.metrics != nil {
		s.run(d, ctx, s.metrics, metricsHandler(d))
	}
	if s.web != nil {
		s.page = webui.New(d.snapshot)
		s.run(d, ctx, s.web, s.page)
	}
}

func (s *servers) run(d *Daemon, ctx context.Context, l net.Listener, h http.Handler) {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: h, Protocols: &p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
		HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerConnection: 4 << 20, MaxReceiveBufferPerStream: 4 << 20},
	}
	s.https = append(s.https, srv)
	d.wg.Go(func() {
		// A host that nobody asks anything needs no server yet, whose stack is twice as
		// large and whose first steps make tables. What is wrong the server finds out.
		first, _ := l.Accept()
		if err := srv.Serve(&begun{l, first}); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("serve", "address", l.Addr(), "err", err)
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

// close ends the servers and all calls.
func (s *servers) close() {
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
}

func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

func (s *servers) metricsAddr() string { return address(s.metrics) }
func (s *servers) webAddr() string     { return address(s.web) }

// snapshot is what the web page shows: answers of the API in one document.
func (d *Daemon) snapshot(ctx context.Context) ([]byte, error) {
	a := api{d}
	out := map[string]json.RawMessage{}
	put := func(name string, m proto.Message, err error) error {
		if err != nil {
			return err
		}
		b, err := overlayapi.MarshalJSON(m)
		out[name] = b
		return err
	}
	st, err := a.Status(ctx, connect.NewRequest(&overlayv1.StatusRequest{}))
	if err := put("status", st.Msg, err); err != nil {
		return nil, err
	}
	to, err := a.Topology(ctx, connect.NewRequest(&overlayv1.TopologyRequest{}))
	if err := put("topology", to.Msg, err); err != nil {
		return nil, err
	}
	ss, err := a.Streams(ctx, connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err := put("streams", ss.Msg, err); err != nil {
		return nil, err
	}
	su, err := a.Subscriptions(ctx, connect.NewRequest(&overlayv1.SubscriptionsRequest{}))
	if err := put("contracts", su.Msg, err); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}
