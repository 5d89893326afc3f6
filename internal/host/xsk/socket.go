// SPDX-License-Identifier: Apache-2.0

package xsk

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Config sizes a socket. Zero fields get the values of DefaultConfig.
type Config struct {
	Frames    int // in the UMEM
	ChunkSize int // bytes of a frame: 2048 or 4096
	Headroom  int // bytes the kernel leaves free before a received frame

	// Entries of the rings, powers of two.
	RX, TX, FillRing, CompletionRing int

	// NoHugePages keeps the UMEM on pages of normal size.
	NoHugePages bool
}

// DefaultConfig has more frames than all rings and a NIC's own ring hold, so
// that receiving never starves.
var DefaultConfig = Config{
	Frames: 4096, ChunkSize: 4096, RX: 1024, TX: 1024, FillRing: 2048, CompletionRing: 1024,
}

func (c Config) withDefaults() Config {
	d := DefaultConfig
	for _, f := range []struct {
		have *int
		def  int
	}{
		{&c.Frames, d.Frames},
		{&c.ChunkSize, d.ChunkSize},
		{&c.RX, d.RX},
		{&c.TX, d.TX},
		{&c.FillRing, d.FillRing},
		{&c.CompletionRing, d.CompletionRing},
	} {
		if *f.have == 0 {
			*f.have = f.def
		}
	}
	return c
}

func (c Config) check() error {
	for _, n := range []int{c.RX, c.TX, c.FillRing, c.CompletionRing} {
		if n < 1 || bits.OnesCount(uint(n)) != 1 {
			return fmt.Errorf("AF_XDP ring of %d entries: a power of two is needed", n)
		}
	}
	if c.ChunkSize != 2048 && c.ChunkSize != 4096 {
		return fmt.Errorf("AF_XDP frames of %d bytes: 2048 and 4096 are possible", c.ChunkSize)
	}
	if c.Frames < 1 || c.Headroom < 0 || c.Headroom >= c.ChunkSize-256 {
		return fmt.Errorf("AF_XDP socket with %d frames and headroom %d is impossible", c.Frames, c.Headroom)
	}
	return nil
}

// Socket is an AF_XDP socket with a UMEM of its own. It is not safe for
// concurrent use, but each ring may be used by a goroutine of its own.
type Socket struct {
	cfg  Config
	fd   int
	umem []byte
	huge bool

	rx, tx     ring[unix.XDPDesc]
	fill, comp ring[uint64]
}

// errNotSupported is what a kernel without AF_XDP answers.
var errNotSupported = errors.New("this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)")

// New makes a socket that is not bound to a device yet.
func New(cfg Config) (s *Socket, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("%w: %w", errNotSupported, errors.ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("open AF_XDP socket: %w", err)
	}
	s = &Socket{cfg: cfg, fd: fd}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err = s.registerUMEM(); err != nil {
		return nil, err
	}
	if err = s.mapRings(); err != nil {
		return nil, err
	}
	return s, nil
}

// registerUMEM allocates the frames, on huge pages if the machine has some
// free: one TLB entry then covers 512 frames.
func (s *Socket) registerUMEM() error {
	const huge = 2 << 20
	size := s.cfg.Frames * s.cfg.ChunkSize
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE
	var err error
	if !s.cfg.NoHugePages && size%huge == 0 {
		s.umem, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_HUGETLB)
		s.huge = err == nil
	}
	if s.umem == nil {
		s.umem, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	}
	if err != nil {
		return fmt.Errorf("allocate %d bytes for frames: %w", size, err)
	}
	reg := unix.XDPUmemReg{
		Addr:     uint64(uintptr(unsafe.Pointer(&s.umem[0]))),
		Len:      uint64(size),
		Size:     uint32(s.cfg.ChunkSize),
		Headroom: uint32(s.cfg.Headroom),
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&reg)), unsafe.Sizeof(reg))
	err = unix.SetsockoptString(s.fd, unix.SOL_XDP, unix.XDP_UMEM_REG, string(b))
	runtime.KeepAlive(&reg)
	if errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("pin %d bytes of frames: %w (raise the limit of locked memory: ulimit -l unlimited)", size, err)
	}
	if err != nil {
		return fmt.Errorf("register %d bytes of frames: %w", size, err)
	}
	return nil
}

// Bind attaches the socket to a queue of a device, in zero-copy mode or not at
// all. Errors wrap the kernel's: EOPNOTSUPP (the driver cannot do zero copy),
// EBUSY (the queue has a socket), ENODEV, ENETDOWN, EINVAL (no such queue).
func (s *Socket) Bind(ifindex, queue int) error {
	sa := &unix.SockaddrXDP{
		Flags:   unix.XDP_ZEROCOPY | unix.XDP_USE_NEED_WAKEUP,
		Ifindex: uint32(ifindex),
		QueueID: uint32(queue),
	}
	if err := unix.Bind(s.fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return nil
}

// FD returns the socket's file descriptor; the Socket keeps it.
func (s *Socket) FD() int { return s.fd }

// HugePages tells whether the frames are on huge pages.
func (s *Socket) HugePages() bool { return s.huge }

// Frame returns the memory of n bytes at a UMEM offset, as descriptors have it.
func (s *Socket) Frame(offset uint64, n int) []byte {
	return s.umem[offset : offset+uint64(n) : offset+uint64(n)]
}

// Config returns the sizes in force.
func (s *Socket) Config() Config { return s.cfg }

// Close closes the socket and unmaps what was mapped. The kernel's side goes on
// for as long as somebody else holds the socket.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	err := unix.Close(s.fd)
	s.fd = -1
	for _, m := range [][]byte{s.rx.mem, s.tx.mem, s.fill.mem, s.comp.mem, s.umem} {
		if m != nil {
			err = errors.Join(err, unix.Munmap(m))
		}
	}
	s.umem = nil
	s.rx, s.tx = ring[unix.XDPDesc]{}, ring[unix.XDPDesc]{}
	s.fill, s.comp = ring[uint64]{}, ring[uint64]{}
	return err
}
