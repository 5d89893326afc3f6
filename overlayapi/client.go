// SPDX-License-Identifier: Apache-2.0

package overlayapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	"sandstream/internal/live/ownfolder"
	"sandstream/overlayapi/overlayv1/overlayv1connect"
)

// SocketEnv is the environment variable that names the socket.
const SocketEnv = "OVERLAYD_SOCKET"

// DefaultSocket is where the daemon listens unless told otherwise: the value of
// $OVERLAYD_SOCKET, else /run/sandstream/overlayd.sock for root and
// $XDG_RUNTIME_DIR/sandstream/overlayd.sock for others (in the folder
// sandstream-UID of the temporary files where a session has no such folder).
func DefaultSocket() string {
	if s := os.Getenv(SocketEnv); s != "" {
		return s
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case os.Geteuid() == 0:
		dir = "/run"
	case dir == "":
		return filepath.Join(tempFolder(), "overlayd.sock")
	}
	return filepath.Join(dir, "sandstream", "overlayd.sock")
}

// tempFolder is where anybody could make it.
func tempFolder() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("sandstream-%d", os.Geteuid()))
}

// maxSocket is what sockaddr_un has room for.
const maxSocket = 107

// CheckSocket says what is wrong with the path of a unix socket, where the system
// says "invalid argument".
func CheckSocket(path string) error {
	if len(path) > maxSocket {
		return fmt.Errorf("socket %s: %d bytes; a unix socket's path has at most %d", path, len(path), maxSocket)
	}
	return nil
}

// Client calls one daemon. It is safe for concurrent use.
type Client struct {
	overlayv1connect.OverlayClient
	transport *http.Transport
	socket    string
}

// Dial makes a client of the daemon at a unix socket. It does not connect: the
// first call does, and fails with connect.CodeUnavailable if nobody listens. In the
// folder of temporary files it does not speak to who listens in another user's place.
func Dial(socket string) *Client {
	// HTTP/2 from the first byte on: Publish sends and receives at once.
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	t := &http.Transport{
		Protocols: &p,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if dir := filepath.Dir(socket); dir == tempFolder() {
				if err := ownfolder.Check(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
			}
			if err := CheckSocket(socket); err != nil {
				return nil, err
			}
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	return &Client{
		OverlayClient: overlayv1connect.NewOverlayClient(&http.Client{Transport: t}, "http://overlayd",
			connect.WithAcceptCompression("gzip", nil, nil)), // none: it never leaves the machine
		transport: t,
		socket:    socket,
	}
}

// Close drops idle connections. Calls that run go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
