// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	code, ran, err := InUserNamespace()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests of netem that need a namespace will be skipped:", err)
	}
	if !ran {
		code = m.Run()
	}
	os.Exit(code)
}

// open makes a network that ends with the test.
func open(t *testing.T, o Options) *Net {
	t.Helper()
	n, err := Open(o)
	if errors.Is(err, ErrNotSupported) || errors.Is(err, ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// onBoth tests with both kinds of devices.
func onBoth(t *testing.T, f func(*testing.T, Device)) {
	t.Run("tun", func(t *testing.T) { f(t, TUN) })
	t.Run("veth", func(t *testing.T) { f(t, VETH) })
}

// socket opens a UDP socket on host i.
func socket(t *testing.T, n *Net, i int) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := n.Do(i, func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.Addr(i), 5000)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The kernel may give less: no test leaves more than 200 packets unread, so that what
	// is missing was lost on the network.
	if err := c.SetReadBuffer(16 << 20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func to(n *Net, i int) netip.AddrPort { return netip.AddrPortFrom(n.Addr(i), 5000) }

// arrival is a numbered packet with the times it was sent and received.
type arrival struct {
	seq  uint64
	trip time.Duration
}

// stamped sends size bytes with a number and the time.
func stamped(t *testing.T, c *net.UDPConn, to netip.AddrPort, base time.Time, seq uint64, size int) {
	t.Helper()
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, seq)
	binary.BigEndian.PutUint64(b[8:], uint64(time.Since(base)))
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// patience is how long to wait for what must come: a machine may stand still for seconds.
const patience = 30 * time.Second

// await waits until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// receive reads stamped packets until there are enough. It gives up when none comes for
// long: then the test finds too few.
func receive(t *testing.T, c *net.UDPConn, base time.Time, enough func(got []arrival) bool) (got []arrival) {
	t.Helper()
	b := make([]byte, 2000)
	for last := time.Now(); !enough(got) && time.Since(last) < patience; {
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		l, _, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil || l < 16 {
			t.Fatalf("read %d bytes: %v", l, err)
		}
		at := time.Since(base)
		got = append(got, arrival{binary.BigEndian.Uint64(b), at - time.Duration(binary.BigEndian.Uint64(b[8:]))})
		last = time.Now()
	}
	return got
}

// record keeps events, without their data.
type record struct {
	mu     sync.Mutex
	events []Event
}

func (r *record) watch(e Event) {
	e.Data = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// of gives the events of a kind so far.
func (r *record) of(k Kind) (of []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == k {
			of = append(of, e)
		}
	}
	return of
}

// set sets one link or fails.
func set(t *testing.T, n *Net, i, j int, l Link) {
	t.Helper()
	if err := n.SetLink(i, j, l); err != nil {
		t.Fatal(err)
	}
}

func TestDelayOfEachDirection(t *testing.T) { onBoth(t, delayOfEachDirection) }

func delayOfEachDirection(t *testing.T, d Device) {
	var r record
	n := open(t, Options{Device: d, Hosts: 3, Seed: 1, Watch: r.watch})
	a, b, c := socket(t, n, 0), socket(t, n, 1), socket(t, n, 2)
	set(t, n, 0, 1, Link{Delay: 10 * time.Millisecond})
	set(t, n, 1, 0, Link{Delay: 25 * time.Millisecond})
	base := time.Now()
	const count, rounds, slack = 200, 10, 2 * time.Millisecond
	total := 0
	for _, way := range []struct {
		from, to *net.UDPConn
		src, dst int
		want     time.Duration
	}{{a, b, 0, 1, 10 * time.Millisecond}, {b, a, 1, 0, 25 * time.Millisecond}, {a, c, 0, 2, 0}} {
		// The median is not moved by a stall, but by a machine that is busy for long: the best
		// of some rounds counts. An emulator that is late by itself is so in all of them.
		best := time.Duration(math.MaxInt64)
		for round := 0; round < rounds && best > way.want+slack; round++ {
			go func() {
				for i := range count {
					stamped(t, way.from, to(n, way.dst), base, uint64(i), 100)
					time.Sleep(time.Millisecond)
				}
			}()
			got := receive(t, way.to, base, func(got []arrival) bool { return len(got) == count })
			if len(got) != count {
				t.Fatalf("%d of %d arrived", len(got), count)
			}
			total += count
			trips := make([]time.Duration, count)
			for i, g := range got {
				trips[i] = g.trip
			}
			slices.Sort(trips)
			best = min(best, trips[count/2])
			if trips[0] < way.want { // never, at whatever load
				t.Errorf("to host %d: one took %v, want %v at least", way.dst, trips[0], way.want)
			}
		}
		if best > way.want+slack {
			t.Errorf("to host %d: the best median is %v, want %v", way.dst, best, way.want)
		}
		// By the emulator's own clock the delay is exact.
		await(t, "all events are told", func() bool { return len(r.of(Delivered)) == total })
		for _, e := range r.of(Delivered)[total-count:] {
			if e.From != way.src || e.To != way.dst || e.Due-e.Sent != way.want || e.At < e.Due {
				t.Fatalf("%+v, want a delay of %v from host %d to %d", e, way.want, way.src, way.dst)
			}
		}
	}
	s := n.Stats()
	t.Logf("late by %v on average, %v at most", s.LateMean, s.LateMax)
	if s.Of(Delivered) != uint64(total) || s.LateMax == 0 {
		t.Errorf("%+v", s)
	}
}

func TestLossIsBinomialAndCaptured(t *testing.T) { onBoth(t, lossIsBinomialAndCaptured) }

func lossIsBinomialAndCaptured(t *testing.T, d Device) {
	const count, loss = 20000, .1
	var file bytes.Buffer
	var mu sync.Mutex
	events := map[Kind]int{}
	n := open(t, Options{Device: d, Hosts: 2, Seed: 2, Capture: &file, Watch: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events[e.Kind]++
	}})
	a, b := socket(t, n, 0), socket(t, n, 1)
	set(t, n, 0, 1, Link{Loss: loss, Delay: time.Millisecond})
	base := time.Now()
	done := func(got int) int { return got + int(n.Stats().Of(Lost)) }
	var read atomic.Int64
	var sender sync.WaitGroup
	defer sender.Wait()
	sender.Go(func() {
		for i := range count {
			stamped(t, a, to(n, 1), base, uint64(i), 64)
			if i%20 == 19 {
				time.Sleep(time.Millisecond)
				await(t, "who receives keeps up", func() bool { return i-done(int(read.Load())) < 200 })
			}
		}
	})
	arrived := len(receive(t, b, base, func(got []arrival) bool {
		read.Store(int64(len(got)))
		return done(len(got)) == count
	}))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	s := n.Stats()
	lost := int(s.Of(Lost))
	sigma := math.Sqrt(count * loss * (1 - loss))
	if math.Abs(float64(lost)-count*loss) > 5*sigma {
		t.Errorf("%d lost, want %.0f ± %.0f", lost, count*loss, 5*sigma)
	}
	if s.Of(Sent) != count || arrived+lost != count {
		t.Errorf("%d sent, %d lost, %d arrived", s.Of(Sent), lost, arrived)
	}
	if events[Sent] != count || events[Lost] != lost || events[Delivered] != arrived {
		t.Errorf("events %v, %d lost, %d arrived", events, lost, arrived)
	}

	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for {
		data, ci, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		iface, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(data)
		if err != nil || p.Dst != n.Addr(1) || len(p.Payload) != 64 {
			t.Fatalf("captured %+v: %v", p, err)
		}
		if ci.Timestamp.Before(base) || ci.Timestamp.After(time.Now()) {
			t.Fatalf("captured at %v", ci.Timestamp)
		}
		seen[iface.Name]++
	}
	if seen["h00.tx"] != count || seen["h01.rx"] != arrived || len(seen) != 2 {
		t.Errorf("captured %v, want h00.tx %d and h01.rx %d", seen, count, arrived)
	}
}

// reaches says whether a packet from i arrives at j or is cut.
func reaches(t *testing.T, n *Net, socks []*net.UDPConn, i, j int, seq uint64) bool {
	t.Helper()
	before := n.Stats().Of(Cut)
	stamped(t, socks[i], to(n, j), time.Now(), seq, 16)
	cut := func() bool { return n.Stats().Of(Cut) > before }
	got := receive(t, socks[j], time.Now(), func(got []arrival) bool { return len(got) > 0 || cut() })
	if len(got) == 0 && !cut() || len(got) > 0 && got[0].seq != seq {
		t.Fatalf("packet %d from %d to %d: got %v; %+v", seq, i, j, got, n.Stats())
	}
	return len(got) > 0
}

func TestPartitionCutAndHeal(t *testing.T) {
	var r record
	n := open(t, Options{Hosts: 5, Seed: 3, Watch: r.watch})
	var socks []*net.UDPConn
	for i := range 5 {
		socks = append(socks, socket(t, n, i))
	}
	var seq uint64
	check := func(when string, want func(i, j int) bool) {
		t.Helper()
		for i := range 5 {
			for j := range 5 {
				if i == j {
					continue
				}
				if seq++; reaches(t, n, socks, i, j, seq) != want(i, j) {
					t.Errorf("%s: %d reaches %d is %v", when, i, j, !want(i, j))
				}
			}
		}
	}
	check("at first", func(i, j int) bool { return true })
	n.Partition([]int{0, 1}, []int{2})
	part := []int{1, 1, 2, 0, 0}
	check("partitioned", func(i, j int) bool { return part[i] == part[j] })
	n.Heal()
	n.Cut(4)
	check("one cut off", func(i, j int) bool { return i != 4 && j != 4 })
	n.Restore(4)
	check("healed", func(i, j int) bool { return true })

	// A partition also stops what is under way. Where the machine stood still, so that the
	// packet was not under way at the partition, it is tried again.
	const delay, tries = 100 * time.Millisecond, 20
	set(t, n, 0, 2, Link{Delay: delay})
	for try := 1; ; try++ {
		ended := func() uint64 { return uint64(len(r.of(Cut)) + len(r.of(Delivered))) }
		await(t, "what became of each packet before is told", func() bool { return ended() == seq })
		delivered := len(r.of(Delivered))
		seq++
		stamped(t, socks[0], to(n, 2), time.Now(), seq, 16)
		await(t, "the packet is sent", func() bool { return n.Stats().Of(Sent) == seq })
		time.Sleep(10 * time.Millisecond)
		n.Partition([]int{0})
		at := time.Since(n.Start())
		await(t, "what became of it is told", func() bool { return ended() == seq })
		if c := r.of(Cut); len(c) > 0 && c[len(c)-1].At-c[len(c)-1].Sent >= delay {
			break
		}
		if d := r.of(Delivered); d[len(d)-1].At > at {
			t.Fatal("a packet under way passed the partition")
		}
		if len(r.of(Delivered)) > delivered { // before the partition
			receive(t, socks[2], time.Now(), func(got []arrival) bool { return len(got) > 0 })
		}
		if try == tries {
			t.Fatalf("in %d tries none was under way at the partition", try)
		}
		n.Heal()
	}
	// What is cut does not arrive later.
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for i, c := range socks {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if l, _, err := c.ReadFromUDPAddrPort(make([]byte, 16)); err == nil {
			t.Errorf("%d bytes came to host %d in the end", l, i)
		}
	}
}

func TestRateAndQueue(t *testing.T) {
	var r record
	n := open(t, Options{Hosts: 2, Seed: 4, Watch: r.watch})
	a, b := socket(t, n, 0), socket(t, n, 1)
	const size, rate, queue, each = 972, 8e6, 50 * time.Millisecond, time.Millisecond // 1000 bytes with headers
	set(t, n, 0, 1, Link{Rate: rate, Queue: queue})
	base := time.Now()
	const count = 200
	for i := range uint64(count) {
		stamped(t, a, to(n, 1), base, i, size)
	}
	got := receive(t, b, base, func(got []arrival) bool { return len(got)+int(n.Stats().Of(Full)) == count })
	await(t, "all events are told", func() bool { return len(r.of(Full))+len(r.of(Delivered)) == count })
	sent, full, delivered := r.of(Sent), r.of(Full), r.of(Delivered)
	if len(sent) != count || len(got) != len(delivered) {
		t.Fatalf("%d sent, %d dropped, %d delivered, %d arrived of %d", len(sent), len(full), len(delivered), len(got), count)
	}
	// What follows is judged by the emulator's own clock.
	burst := sent[count-1].At - sent[0].At
	// A burst fills the queue: 50 packets wait, one is on the link; as many more as
	// leave while it lasts.
	if low, high := 50, 53+int(burst/each); len(got) < low || len(got) > high {
		t.Errorf("%d arrived, want %d to %d", len(got), low, high)
	}
	for i, e := range delivered {
		// None waits longer than the queue is, and the link carries one after the other.
		if e.Due-e.Sent < each || e.Due-e.Sent > queue+each || e.At < e.Due || i > 0 && e.Due-delivered[i-1].Due < each {
			t.Errorf("packet %d of %d: %+v", i, len(delivered), e)
		}
	}
	for _, e := range full {
		wait := 0
		for _, d := range delivered {
			if d.Sent <= e.Sent && d.Due > e.Sent {
				wait++
			}
		}
		if wait < 51 {
			t.Errorf("dropped at %v, when %d packets were there", e.At, wait)
		}
	}
	// The last one waits for most of it.
	last := delivered[len(delivered)-1]
	if trip := got[len(got)-1].trip; last.Due-last.Sent < queue-burst || trip < last.Due-last.Sent {
		t.Errorf("the last was to take %v and took %v, want %v at least", last.Due-last.Sent, trip, queue-burst)
	}
}

func TestJitterReordersOnlyWhenAsked(t *testing.T) {
	n := open(t, Options{Hosts: 2, Seed: 5})
	a, b := socket(t, n, 0), socket(t, n, 1)
	for _, reorder := range []bool{false, true} {
		set(t, n, 0, 1, Link{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: reorder, Duplicate: .2})
		base := time.Now()
		const count, batch = 500, 100
		var got []arrival
		distinct := map[uint64]bool{}
		take := func(enough func() bool) {
			got = append(got, receive(t, b, base, func(new []arrival) bool {
				if len(new) > 0 {
					distinct[new[len(new)-1].seq] = true
				}
				return enough()
			})...)
			if !enough() {
				t.Fatalf("%d distinct packets of %d", len(distinct), count)
			}
		}
		for i := range uint64(count) {
			stamped(t, a, to(n, 1), base, i, 16)
			if i%batch == batch-1 { // no more than the socket holds
				take(func() bool { return len(distinct) == int(i)+1 })
			}
		}
		// All that was sent before is there when one with a longer delay is.
		set(t, n, 0, 1, Link{Delay: 20 * time.Millisecond})
		stamped(t, a, to(n, 1), base, count, 16)
		take(func() bool { return distinct[count] })
		delete(distinct, count)
		got = got[:len(got)-1]
		swaps := 0
		for i, g := range got {
			if i > 0 && g.seq < got[i-1].seq {
				swaps++
			}
		}
		if (swaps > 0) != reorder {
			t.Errorf("reorder %v: %d swaps", reorder, swaps)
		}
		// 100 ± 9 duplicates.
		if dup := len(got) - len(distinct); len(distinct) != count || dup < 55 || dup > 145 {
			t.Errorf("%d distinct packets of %d and %d duplicates", len(distinct), count, dup)
		}
	}
}

// A send that the kernel is to cut into segments crosses the network as these.
func TestSegmentationOffload(t *testing.T) { onBoth(t, segmentationOffload) }

func segmentationOffload(t *testing.T, d Device) {
	n := open(t, Options{Device: d, Hosts: 2, Seed: 6})
	a, b := socket(t, n, 0), socket(t, n, 1)
	raw, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const segments, size = 40, 1400
	var opt error
	err = raw.Control(func(fd uintptr) { opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) })
	if err = errors.Join(err, opt); err != nil {
		t.Skip("UDP_SEGMENT (Linux 4.18):", err)
	}
	payload := make([]byte, segments*size)
	for i := range payload {
		payload[i] = byte(i / size)
	}
	if _, err := a.WriteToUDPAddrPort(payload, to(n, 1)); err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		buf := make([]byte, 65536)
		if err := b.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		l, err := b.Read(buf)
		if err != nil {
			t.Fatalf("segment %d: %v; %+v", i, err, n.Stats())
		}
		if l != size || !bytes.Equal(buf[:l], payload[i*size:(i+1)*size]) {
			t.Fatalf("segment %d has %d bytes", i, l)
		}
	}
	if s := n.Stats(); s.Of(Delivered) != segments || s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTCPOverALossyLink(t *testing.T) { onBoth(t, tCPOverALossyLink) }

func tCPOverALossyLink(t *testing.T, d Device) {
	n := open(t, Options{Device: d, Hosts: 2, Seed: 7})
	l := Link{Delay: 2 * time.Millisecond, Jitter: time.Millisecond, Loss: .01, Reorder: true, Rate: 200e6}
	if err := n.SetLinks(NewMatrix(2, l)); err != nil {
		t.Fatal(err)
	}
	var server net.Listener
	var client net.Conn
	if err := n.Do(1, func() (err error) {
		server, err = net.Listen("tcp4", to(n, 1).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	sum := make(chan [32]byte)
	go func() {
		h := sha256.New()
		defer func() { sum <- [32]byte(h.Sum(nil)) }()
		c, err := server.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := io.Copy(h, c); err != nil {
			t.Error(err)
		}
	}()
	if err := n.Do(0, func() (err error) {
		d := net.Dialer{Timeout: patience, FallbackDelay: -1}
		client, err = d.Dial("tcp4", to(n, 1).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if _, err := client.Write(data); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if got := <-sum; got != sha256.Sum256(data) {
		t.Error("what arrived is not what was sent")
	}
	if s := n.Stats(); s.Of(Lost) == 0 || s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCommandRunsOnItsHost(t *testing.T) {
	n := open(t, Options{Hosts: 2})
	for i := range 2 {
		out, err := n.Command(i, "cat", "/proc/net/fib_trie").Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), n.Addr(i).String()) || strings.Contains(string(out), n.Addr(1-i).String()) {
			t.Errorf("host %d has the addresses\n%s", i, out)
		}
	}
	cmd := n.Command(0, "sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit interface{ Sys() any }
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("a killed command ended with %v", err)
	}
}

func TestNoRouteIsCounted(t *testing.T) {
	n := open(t, Options{Hosts: 1})
	a := socket(t, n, 0)
	stamped(t, a, netip.MustParseAddrPort("10.77.9.9:1"), time.Now(), 0, 16)
	await(t, "it is counted", func() bool { return n.Stats().Of(NoRoute) == 1 })
}

func TestCloseLeavesNothing(t *testing.T) { onBoth(t, closeLeavesNothing) }

func closeLeavesNothing(t *testing.T, d Device) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	open(t, Options{Device: d, Hosts: 1}) // what is opened once stays
	before := count()
	for range 3 {
		n := open(t, Options{Device: d, Hosts: 4})
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d file descriptors, before %d", after, before)
	}
	if net, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || net == "" {
		t.Error(err)
	}
	links, err := os.ReadFile("/proc/net/dev")
	if err != nil || strings.Contains(string(links), device+":") {
		t.Errorf("the test's own namespace has the device: %v\n%s", err, links)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{}, {Hosts: -1}, {Hosts: MaxHosts + 1}, {Hosts: 1, MTU: 100}, {Hosts: 1, MTU: 1 << 17}} {
		if n, err := Open(o); err == nil {
			n.Close()
			t.Errorf("%+v is accepted", o)
		}
	}
	n := open(t, Options{Hosts: 2})
	if n.SetLinks(NewMatrix(3, Link{})) == nil || n.SetLinks(NewMatrix(2, Link{Loss: 2})) == nil || n.SetLink(0, 1, Link{Delay: -1}) == nil {
		t.Error("a wrong matrix or link is accepted")
	}
	if _, ok := n.HostOf(netip.MustParseAddr("10.77.0.3")); ok {
		t.Error("host 2 of 2 exists")
	}
}
