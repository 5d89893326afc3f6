// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"sandstream/internal/live/frame"
)

// maxDatagram is the greatest UDP payload of a sealed datagram, in bytes: with
// IPv4 it is 1,500 on the wire. Publishers fill 1,428 of it.
const maxDatagram = overhead + frame.MaxSize

// What one system call moves.
const (
	rxMessages   = 8       // buffers of a recvmmsg; one while there is little traffic
	rxBuffer     = 1 << 16 // bytes of each: a train of datagrams put together by GRO
	rxSmall      = 2048    // without GRO
	txMessages   = 70      // datagrams or trains of a sendmmsg
	txSmall      = 16      // the same while there is little traffic
	trainBytes   = 65_000  // bytes of a train; with headers below 65,536
	trainPackets = 64      // datagrams of a train: the limit of kernels before 6.8
)

// batchConn is what x/net's two packet connections have in common. Their
// messages are one type.
type batchConn interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// largest is the longest datagram that the reader's buffers take.
func (u *udpBatch) largest() int {
	if u.gro {
		return maxUDP
	}
	return rxSmall
}

// udpBatch is the transport's UDP port.
type udpBatch struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	batch batchConn
	gro   bool
	gso   atomic.Bool // turned off for good by the first EIO
}

// listen opens a UDP port: on all addresses that of both families, where the kernel
// has both.
func listen(addr netip.AddrPort) (*net.UDPConn, netip.AddrPort, error) {
	conn, err := net.ListenUDP(networkOf(addr.Addr()), net.UDPAddrFromAddrPort(addr))
	if err == nil || addr.Addr() != netip.IPv6Unspecified() || !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return conn, addr, err
	}
	addr = netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())
	conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	return conn, addr, err
}

// listenBatch opens the port and finds out what the kernel can do.
func listenBatch(addr netip.AddrPort, offload bool, buffer int) (*udpBatch, error) {
	conn, addr, err := listen(addr)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("UDP port: %w: is another overlayd running? choose another address", err)
	}
	if err != nil {
		return nil, fmt.Errorf("UDP port: %w", err)
	}
	u := &udpBatch{conn: conn}
	if u.raw, err = conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("UDP port: %w", err)
	}
	if addr.Addr().Is6() {
		u.batch = ipv6.NewPacketConn(conn)
	} else {
		u.batch = ipv4.NewPacketConn(conn)
	}
	// The kernel gives as much as net.core.[rw]mem_max allows, and root all of it.
	_, _ = conn.SetReadBuffer(buffer), conn.SetWriteBuffer(buffer)
	err = u.raw.Control(func(fd uintptr) {
		// Nothing is cut on the way, and what routers say of sizes changes nothing: see
		// path.go. (One of the two options fails where the socket has one family only.)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffer)
		if !offload {
			return
		}
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		u.gso.Store(err == nil)
		u.gro = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("UDP port: %w", err)
	}
	return u, nil
}

func (u *udpBatch) addr() netip.AddrPort { return u.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// wait returns when there is something to read. It needs no buffer and little
// stack: an idle host should have none.
func (u *udpBatch) wait() error {
	p := []unix.PollFd{{Events: unix.POLLIN}}
	return u.raw.Read(func(fd uintptr) bool {
		p[0].Fd = int32(fd)
		n, err := unix.Poll(p, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

// rxBatch holds what one recvmmsg fills.
type rxBatch struct {
	msgs []ipv4.Message
}

func newRxBatch(gro, hot bool) *rxBatch {
	n, size := rxMessages, rxBuffer
	if !gro {
		n, size = 64, rxSmall
	}
	if !hot {
		n /= rxMessages
	}
	r := &rxBatch{msgs: make([]ipv4.Message, n)}
	arena := make([]byte, n*size)
	oob := make([]byte, n*groSpace)
	for i := range r.msgs {
		r.msgs[i].Buffers = [][]byte{arena[i*size : (i+1)*size : (i+1)*size]}
		r.msgs[i].OOB = oob[i*groSpace : (i+1)*groSpace : (i+1)*groSpace]
	}
	return r
}

// Idle hosts share their buffers with others in the same process.
var (
	rxPools [4]sync.Pool // of *rxBatch, see getRx
	txPools [2]sync.Pool // of *txBatch, see getTx
)

// getRx gives buffers; many if there is much traffic.
func (u *udpBatch) getRx(hot bool) (rx *rxBatch, put func()) {
	i := 0
	if u.gro {
		i = 1
	}
	if hot {
		i += 2
	}
	rx, _ = rxPools[i].Get().(*rxBatch)
	if rx == nil {
		rx = newRxBatch(u.gro, hot)
	}
	return rx, func() { rxPools[i].Put(rx) }
}

// read fills r with what has come and gives the messages that were filled.
func (u *udpBatch) read(r *rxBatch) ([]ipv4.Message, error) {
	n, err := u.batch.ReadBatch(r.msgs, 0)
	if err != nil {
		return nil, err
	}
	return r.msgs[:n], nil
}

// train gives the bytes of message m and the size of its datagrams; the last
// one may be smaller.
func train(m *ipv4.Message) (b []byte, size int) {
	b = m.Buffers[0][:m.N]
	if size = parseGRO(m.OOB[:m.NN]); size == 0 || m.Flags&unix.MSG_CTRUNC != 0 {
		size = len(b)
	}
	return b, size
}

var groSpace = unix.CmsgSpace(4)

// parseGRO gives the segment size in a control message, 0 if there is none.
func parseGRO(oob []byte) int {
	for len(oob) >= unix.SizeofCmsghdr {
		var h unix.Cmsghdr
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr), oob)
		if uint64(h.Len) < uint64(unix.CmsgLen(0)) || uint64(h.Len) > uint64(len(oob)) {
			return 0
		}
		data := oob[unix.CmsgLen(0):h.Len]
		if h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4 {
			if size := int(int32(binary.NativeEndian.Uint32(data))); size > 0 && size <= rxBuffer {
				return size
			}
			return 0
		}
		oob = oob[min(len(oob), unix.CmsgSpace(len(data))):]
	}
	return 0
}

// putGSO writes the control message that asks for segments of size bytes.
func putGSO(oob []byte, size int) []byte {
	oob = oob[:unix.CmsgSpace(2)]
	clear(oob)
	h := unix.Cmsghdr{Level: unix.SOL_UDP, Type: unix.UDP_SEGMENT}
	h.SetLen(unix.CmsgLen(2))
	copy(oob, unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr))
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(size))
	return oob
}

// txBatch collects sealed datagrams for one sendmmsg. Those of one size to one
// host in a row make a train.
type txBatch struct {
	arena []byte
	used  int
	n     int // messages
	msgs  []ipv4.Message
	size  []int // of a message's datagrams
	count []int // datagrams of a message
	owner []*peer
	oob   []byte

	whole [maxDatagram]byte // that is sent in parts

	// Room for drain and sendFrom: on the stack it would stay with every goroutine
	// that ever sends.
	turn    []*peer
	queued  [drainAtOnce]queued
	control [drainAtOnce][]byte
}

// getTx gives a batch; a large one if there is much traffic.
func getTx(hot bool) (tx *txBatch, put func()) {
	i, n := 0, txSmall
	if hot {
		i, n = 1, txMessages
	}
	tx, _ = txPools[i].Get().(*txBatch)
	if tx == nil {
		tx = newTxBatch(n)
	}
	return tx, func() { txPools[i].Put(tx) }
}

func newTxBatch(n int) *txBatch {
	space := unix.CmsgSpace(2)
	t := &txBatch{
		arena: make([]byte, n*maxDatagram), msgs: make([]ipv4.Message, n), size: make([]int, n),
		count: make([]int, n), owner: make([]*peer, n), oob: make([]byte, n*space), turn: make([]*peer, n),
	}
	for i := range t.msgs {
		t.msgs[i].Buffers = make([][]byte, 1)
	}
	return t
}

// room says how many datagrams surely still fit.
func (t *txBatch) room() int { return min((len(t.arena)-t.used)/maxDatagram, len(t.msgs)-t.n) }

// next gives the place of the next datagram.
func (t *txBatch) next() []byte { return t.arena[t.used : t.used+maxDatagram] }

// add takes the datagram of size bytes that next's buffer now holds.
func (t *txBatch) add(p *peer, to *net.UDPAddr, size int, gso bool) {
	b := t.arena[t.used : t.used+size]
	t.used += size
	if i := t.n - 1; gso && i >= 0 && t.owner[i] == p && t.count[i] < trainPackets && size <= t.size[i] &&
		len(t.msgs[i].Buffers[0]) == t.size[i]*t.count[i] && len(t.msgs[i].Buffers[0])+size <= trainBytes && t.msgs[i].Addr == to {
		whole := t.msgs[i].Buffers[0]
		t.msgs[i].Buffers[0] = whole[:len(whole)+size]
		t.count[i]++
		return
	}
	m := &t.msgs[t.n]
	m.Buffers[0] = b[:size:cap(b)]
	m.Addr = to
	t.size[t.n], t.count[t.n], t.owner[t.n] = size, 1, p
	t.n++
}

func (t *txBatch) reset() {
	for i := range t.n {
		t.msgs[i].Addr, t.msgs[i].Buffers[0], t.msgs[i].OOB, t.owner[i] = nil, nil, nil, nil
	}
	t.used, t.n = 0, 0
}

// write sends the batch. A datagram that the kernel refuses is counted with its
// peer, and the rest goes on: one unreachable host must not stop the others.
func (u *udpBatch) write(t *txBatch) {
	space := unix.CmsgSpace(2)
	for i := range t.n {
		t.msgs[i].OOB = nil
		if t.count[i] > 1 {
			t.msgs[i].OOB = putGSO(t.oob[i*space:(i+1)*space], t.size[i])
		}
	}
	for i := 0; i < t.n; {
		if t.count[i] > 1 && !u.gso.Load() {
			u.writeSingly(t, i)
			i++
			continue
		}
		n, err := u.batch.WriteBatch(t.msgs[i:t.n], 0)
		if n > 0 {
			i += n
			continue
		}
		switch {
		case t.count[i] > 1 && errors.Is(err, unix.EIO):
			// The device can not cut trains, as WireGuard's users learned: from now on
			// none are made.
			u.gso.Store(false)
			u.writeSingly(t, i)
		case t.count[i] > 1 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EMSGSIZE)):
			// The device takes smaller packets than it did, or no trains of this size.
			t.owner[i].singly.Store(true)
			u.writeSingly(t, i)
		case errors.Is(err, net.ErrClosed):
			return
		case isTooBig(err):
			t.owner[i].tooBig(t.size[i])
			t.owner[i].stats.txErrors.Add(1)
		default:
			t.owner[i].stats.txErrors.Add(uint64(t.count[i]))
		}
		i++
	}
}

// writeSingly sends the train of message i as datagrams.
func (u *udpBatch) writeSingly(t *txBatch, i int) {
	b, to := t.msgs[i].Buffers[0], t.msgs[i].Addr.(*net.UDPAddr).AddrPort()
	for len(b) > 0 {
		n := min(len(b), t.size[i])
		if _, err := u.conn.WriteToUDPAddrPort(b[:n], to); err != nil {
			t.owner[i].stats.txErrors.Add(1)
			if isTooBig(err) {
				t.owner[i].tooBig(n)
			}
		}
		b = b[n:]
	}
}

// wake makes a blocked read return, so that the reader can give its buffers
// back; rested ends that.
func (u *udpBatch) wake() { _ = u.conn.SetReadDeadline(time.Unix(1, 0)) }

func (u *udpBatch) rested() { _ = u.conn.SetReadDeadline(time.Time{}) }
