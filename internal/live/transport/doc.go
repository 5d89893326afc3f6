// SPDX-License-Identifier: Apache-2.0

// Package transport carries control messages and streams between the hosts of
// an overlay. It knows hosts by their keys, and nothing of the overlay's
// protocol, which is pure (package overlay): it is all that is between sockets
// and the protocol.
//
// # One port
//
// All that passes between two hosts goes from the one UDP port of the one to that of
// the other; on all addresses ([::]) it is of both address families. The first byte
// says what a datagram is (RFC 9443): from 0x40 on it is QUIC's, below it is ours. One
// reader takes both, in batches, and gives QUIC its packets (quicside.go).
//
// QUIC is for handshakes and for control messages too long for a datagram. A handshake
// proves both hosts' keys (TLS 1.3), that they know the join token or that a CA signed
// them, and gives both the keys of a session. QUIC connections are closed after a
// second without use, and without any the QUIC library itself is put away.
//
// Our datagrams are control messages, sealed, and packets of streams (package frame),
// whose payload their publisher has sealed (package seal): of those only the headers
// are a hop's to answer for. A datagram is
//
//	 0  1  type: 1 control, 4 data, 5 a part (part.go); 2 and 3 were data in version 1:
//	       they are counted
//	 1  3  reserved: 0 when sent, ignored
//	 4  4  the receiver's index for the session
//	 8  8  counter: the nonce
//	16  n  control: the message sealed with AES-128-GCM, or ChaCha20-Poly1305 if a host
//	       has no AES in hardware; data: nothing
//	 +  16 tag; of data over the 16 bytes and the packet's header of 64: GMAC or Poly1305
//	 +  m  data: the packet
//
// An empty control message is a sign of life: sent when a peer's messages have
// gone without any datagram in return for a second. A host that hears nothing
// for 3 s makes a new session, as the peer may have started anew.
//
// What does not parse, names no session, does not open or came before is
// counted and dropped; it changes no other state. A session costs about 1 KB
// and no goroutine: an idle host with 30 neighbours takes 41 KB of heap and has
// two goroutines (TestIdleFootprint).
//
// Datagrams are sent and received in batches (sendmmsg, recvmmsg), and where the
// kernel can, as trains that it cuts (UDP_SEGMENT) and puts together (UDP_GRO).
// EIO turns trains off.
//
// # Versions
//
// Hosts say in their hello (hello.go) which versions of the wire they speak, and what
// they can do beyond that, a bit each (version.go). What is not known is ignored:
// features, fields of the hello, reserved bytes. Hosts that have no version in common
// refuse one another in words, on both sides; so they do when a certificate is not
// good, when Config.Admit says no, or when a token is wrong.
//
// # Two hosts with one key
//
// A hello names the run of its host: a random number and the time of its start. When a
// host with the key of a peer comes from another address and in another run, the peer
// is asked, over its session, whether it lives (link.go). If it signs that it does, the
// newcomer is shown the signature and let out; if there is no answer in about a second,
// the host has merely started anew. Two that meet each other see it from the hello.
//
// # Sizes
//
// What the way to each peer carries is searched for as in RFC 8899 (path.go): 1,200
// bytes are proven by the handshake, up to 65,507 by probes. A sealed datagram that is
// longer goes in parts, which the next host puts together (part.go). So no packet of a
// stream depends on what a router says of its size, and the streams need not know.
//
// # Use
//
//	id, err := transport.LoadOrCreateIdentity(dir)
//	t, err := transport.New(transport.Config{Identity: id, Listen: addr, Token: token})
//	err = t.Start(handler) // handler.Control(from, bytes), handler.Unreachable(to, err)
//	defer t.Close()
//
//	contact, err := t.Connect(ctx, addr)    // who is there? for joining
//	err = t.SendControl(peer, bytes)        // never waits; connects in the background
//
//	t.SetForward(stream, transport.Entry{Upstream: ..., Children: ..., Process: spa})
//	seq, err := t.Publish(stream, payloads) // of a stream without upstream, which Entry.Seal seals
//	sink := t.AddSink(stream, transport.SinkConfig{Deliver: f, Keys: ring, Ordered: true})
//
// Stats, Peers and Streams give the counters.
//
// # A stream's packets
//
// An Entry says from whom packets may come and to whom copies go, and who seals: what is
// published, and what an SPA makes that looks at content, which needs the stream's key. A
// Sink opens with the keys that it is given, and waits for a key that is under way.
// A packet is
// accepted from an upstream of its path only, and once. On its way out, a packet's
// budget and elapsed time are charged with its residence here and the cost of
// the link that follows. Each peer has its own bounded queue, each local reader
// too; whoever does not keep up loses the oldest packets of his own.
//
// # Bounds
//
// Peers, sessions of a peer (3), queues, handshakes a second and at once, the
// rate of control messages and of data from and to a peer: all are bounded by
// Config. Above half the bound of handshakes, QUIC makes diallers prove their
// address before any state is kept; one address (of IPv6 one network of 64 bits)
// gets half of them at most, those a second and those at once. A connection whose
// hello is not there in 3 s is closed. Peers that never had a session, but were
// named by others, have an eighth of the places and dialling of their own.
package transport
