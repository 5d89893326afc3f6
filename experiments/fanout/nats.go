// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"sandstream/internal/live/transport"
)

// natsSystem is an embedded nats-server, the hub, with a client for the
// publisher and one for each subscriber.
type natsSystem struct {
	srv     *server.Server
	clients []*nats.Conn
}

const subject = "stream"

func newNATS(fan int, deliver deliverFunc, secure bool) (system, error) {
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	dial := []nats.Option{nats.Name("fanout")}
	if secure {
		id, err := transport.NewIdentity()
		if err != nil {
			return nil, err
		}
		opts.TLSConfig = &tls.Config{Certificates: []tls.Certificate{id.Cert}, MinVersion: tls.VersionTLS13}
		opts.TLS, opts.TLSTimeout = true, 5
		// The certificate is self-signed; what is measured is the cost of sealing.
		dial = append(dial, nats.Secure(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}))
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	n := &natsSystem{srv: srv}
	go srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		n.close()
		return nil, errors.New("nats-server is not ready after 10 s")
	}
	for i := range fan + 1 {
		c, err := nats.Connect(srv.ClientURL(), dial...)
		if err != nil {
			n.close()
			return nil, fmt.Errorf("nats client: %w", err)
		}
		n.clients = append(n.clients, c)
		if i == 0 {
			continue // the publisher
		}
		sub, err := c.Subscribe(subject, func(m *nats.Msg) { deliver(i-1, m.Data) })
		if err == nil {
			err = errors.Join(sub.SetPendingLimits(-1, -1), c.Flush())
		}
		if err != nil {
			n.close()
			return nil, fmt.Errorf("nats subscriber: %w", err)
		}
	}
	return n, nil
}

func (n *natsSystem) publish(batch [][]byte) error {
	for _, b := range batch {
		if err := n.clients[0].Publish(subject, b); err != nil {
			return err
		}
	}
	return nil
}

func (n *natsSystem) close() {
	for _, c := range n.clients {
		c.Close()
	}
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}
