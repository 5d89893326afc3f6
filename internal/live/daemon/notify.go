// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"
	"os"
	"strings"
)

// notify tells systemd how the service does (sd_notify(3)), if it asks for that:
// Type=notify sets $NOTIFY_SOCKET. The host is ready when its API answers, not
// when it has joined: the members may start later.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "@") { // an abstract socket
		path = "\x00" + path[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return // nobody to tell
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
