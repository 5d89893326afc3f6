// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxHosts is the largest number of hosts: each takes two file descriptors, and the
// loop polls them all.
const MaxHosts = 1024

// prefix is the network all hosts are in; host i has the address prefix+i+1.
var prefix = netip.MustParsePrefix("10.77.0.0/16")

// Device is a kind of network device.
type Device uint8

// Devices.
const (
	Auto Device = iota // TUN if /dev/net/tun can be opened, else VETH
	TUN
	VETH // a virtual Ethernet pair and a packet socket
)

// Options of a network.
type Options struct {
	Hosts int
	Seed  uint64
	MTU   int // of all devices; 0 is 1500
	// Device is what hosts send through: TUN, VETH where a machine has no TUN, or Auto.
	Device Device
	// Watch, if set, gets every event, on the one thread that moves the packets: it
	// must be quick and must not keep Event.Data.
	Watch func(Event)
	// Capture, if set, gets all packets as pcapng, interfaces h00.tx, h00.rx, h01.tx,
	// ...: on tx as they are sent, on rx as they are delivered.
	Capture io.Writer
}

// Kind says what happened to a packet.
type Kind uint8

// Kinds of events. Each packet is Sent, then for each copy one of the others follows.
const (
	Sent Kind = iota
	Delivered
	Lost    // by Link.Loss, or longer than Link.MTU
	Full    // the link's queue was full
	Cut     // the pair was partitioned, or a host cut off, on entry or while it was under way
	NoRoute // for an address that no host has
	Refused // the receiving device did not take it
	kinds
)

func (k Kind) String() string {
	return [...]string{"sent", "delivered", "lost", "full", "cut", "no route", "refused"}[k]
}

// Event is what happened to one packet. Times are since Net.Start.
type Event struct {
	Kind     Kind
	At       time.Duration // when it happened
	Sent     time.Duration // when the packet was sent
	Due      time.Duration // Delivered: when it should have been
	From, To int           // hosts; To is -1 with NoRoute
	Data     []byte        // the IPv4 packet
}

// Stats are counts since the start.
type Stats struct {
	Packets   [kinds]uint64 // by Kind
	Malformed uint64        // not counted as Sent
	// Late is how much later than planned packets were delivered: mean and maximum.
	LateMean, LateMax time.Duration
}

// Of is the count of events of kind k.
func (s Stats) Of(k Kind) uint64 { return s.Packets[k] }

// Net is a running network.
type Net struct {
	hosts  []host
	start  time.Time
	mtu    int
	header int // length of the devices' header
	watch  func(Event)
	cap    *capture

	wake     int // eventfd that ends the loop's poll
	done     chan struct{}
	loopErr  error // valid when done is closed
	closing  sync.Once
	closeErr error

	mu    sync.Mutex // protects what follows; held by the loop for each packet
	pairs [][]pair
	group []int  // hosts of different groups cannot reach one another
	cut   []bool // no packets to or from these
	quit  bool
	stats Stats
	late  time.Duration // sum over delivered packets

	// Of the loop alone.
	queue flights
	count uint64
	spare [][]byte
}

// Open makes the namespaces and starts to move packets. At first all links carry
// everything at once.
func Open(o Options) (*Net, error) {
	if o.Hosts < 1 || o.Hosts > MaxHosts {
		return nil, fmt.Errorf("netem: %d hosts: must be 1 to %d", o.Hosts, MaxHosts)
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	if o.MTU < 576 || o.MTU > 65000 {
		return nil, fmt.Errorf("netem: MTU %d: must be 576 to 65000", o.MTU)
	}
	if o.Device == Auto && unix.Access("/dev/net/tun", unix.R_OK|unix.W_OK) != nil {
		o.Device = VETH
	}
	n := &Net{
		mtu: o.MTU, watch: o.Watch, wake: -1, start: time.Now(), done: make(chan struct{}),
		group: make([]int, o.Hosts), cut: make([]bool, o.Hosts), pairs: make([][]pair, o.Hosts),
	}
	for i := range n.pairs {
		n.pairs[i] = make([]pair, o.Hosts)
		for j := range n.pairs[i] {
			n.pairs[i][j].rng = rand.New(rand.NewPCG(o.Seed, uint64(i)<<32|uint64(j)))
		}
	}
	var err error
	if o.Capture != nil {
		if n.cap, err = newCapture(o.Capture, o.Hosts, n.start); err != nil {
			return nil, err
		}
	}
	for i := range o.Hosts {
		h, err := openHost(o.Device, netip.PrefixFrom(n.Addr(i), prefix.Bits()), o.MTU)
		if err != nil {
			n.release()
			return nil, err
		}
		n.hosts = append(n.hosts, h)
		n.header = len(h.far.header)
	}
	if n.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		n.release()
		return nil, fmt.Errorf("netem: eventfd: %w", err)
	}
	go n.loop()
	return n, nil
}

func (n *Net) release() {
	for _, h := range n.hosts {
		h.close()
	}
	if n.wake >= 0 {
		unix.Close(n.wake)
	}
}

// Close stops the network and completes the capture. Programs in the namespaces live
// on, without a device; the caller ends those it has started. The error is what
// stopped the network, or the capture, before.
func (n *Net) Close() error {
	n.closing.Do(func() {
		n.mu.Lock()
		n.quit = true
		n.mu.Unlock()
		_, err := unix.Write(n.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		if err == nil || errors.Is(err, unix.EAGAIN) { // EAGAIN: it is awake
			<-n.done
			err = n.loopErr
		}
		n.release()
		if n.cap != nil {
			err = errors.Join(err, n.cap.close())
		}
		n.closeErr = err
	})
	return n.closeErr
}

// Hosts is the number of hosts.
func (n *Net) Hosts() int { return len(n.hosts) }

// Start is the time that events count from.
func (n *Net) Start() time.Time { return n.start }

// Addr is the address of host i.
func (n *Net) Addr(i int) netip.Addr {
	a := prefix.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+uint32(i)+1)
	return netip.AddrFrom4(a)
}

// HostOf is the host that has address a, false if none has.
func (n *Net) HostOf(a netip.Addr) (int, bool) {
	if !a.Is4() || !prefix.Contains(a) {
		return 0, false
	}
	b := a.As4()
	i := int(binary.BigEndian.Uint16(b[2:])) - 1
	return i, i >= 0 && i < len(n.hosts)
}

// Do runs f in the namespace of host i. Sockets that f opens stay there. f must not
// start goroutines that open others.
func (n *Net) Do(i int, f func() error) error {
	return inNamespace(n.hosts[i].ns, f)
}

// Command is exec.Command on host i: the caller starts it, waits for it and kills it.
// It is killed when this process ends. The program nsenter (util-linux) becomes the
// command; its process id is the command's.
func (n *Net) Command(i int, name string, args ...string) *exec.Cmd {
	ns := "--net=/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(n.hosts[i].ns))
	cmd := exec.Command("nsenter", append([]string{ns, "--", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// SetLink sets the link from host i to host j. Packets under way keep their time.
func (n *Net) SetLink(i, j int, l Link) error {
	if err := l.check(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pairs[i][j].Link = l
	return nil
}

// SetLinks sets all links at once.
func (n *Net) SetLinks(m Matrix) error {
	if len(m) != len(n.hosts) || slices.ContainsFunc(m, func(r []Link) bool { return len(r) != len(m) }) {
		return fmt.Errorf("netem: the matrix must be of %d×%d links", len(n.hosts), len(n.hosts))
	}
	for i := range m {
		for j := range m {
			if err := m[i][j].check(); err != nil {
				return err
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range m {
		for j := range m {
			n.pairs[i][j].Link = m[i][j]
		}
	}
	return nil
}

// Partition lets only hosts of one group reach one another, from now on and also for
// packets under way. Hosts in no group form one together.
func (n *Net) Partition(groups ...[]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.group)
	for g, hosts := range groups {
		for _, i := range hosts {
			n.group[i] = g + 1
		}
	}
}

// Heal ends a partition.
func (n *Net) Heal() { n.Partition() }

// Cut takes host i off the network.
func (n *Net) Cut(i int) { n.setCut(i, true) }

// Restore puts host i back.
func (n *Net) Restore(i int) { n.setCut(i, false) }

func (n *Net) setCut(i int, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[i] = cut
}

// Stats gives the counts.
func (n *Net) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.stats
	if d := s.Packets[Delivered]; d > 0 {
		s.LateMean = n.late / time.Duration(d)
	}
	return s
}

// severed says whether packets from i do not reach j; the caller holds n.mu.
func (n *Net) severed(i, j int) bool {
	return n.cut[i] || n.cut[j] || n.group[i] != n.group[j]
}
