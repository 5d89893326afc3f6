// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// capture writes what enters and what is delivered as pcapng: host i has the
// interfaces 2i ("h03.tx") and 2i+1 ("h03.rx").
type capture struct {
	w     *pcapgo.NgWriter
	start time.Time
	err   error // the first; nothing is written after it
}

func newCapture(w io.Writer, hosts int, start time.Time) (*capture, error) {
	iface := func(i int) pcapgo.NgInterface {
		dir := [2]string{"tx", "rx"}[i%2]
		return pcapgo.NgInterface{
			Name: fmt.Sprintf("h%02d.%s", i/2, dir), LinkType: layers.LinkTypeRaw,
			TimestampResolution: 9,
		}
	}
	ng, err := pcapgo.NewNgWriterInterface(w, iface(0), pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{OS: runtime.GOOS, Application: "sandstream netem"},
	})
	for i := 1; err == nil && i < 2*hosts; i++ {
		_, err = ng.AddInterface(iface(i))
	}
	if err != nil {
		return nil, fmt.Errorf("netem: capture: %w", err)
	}
	return &capture{w: ng, start: start}, nil
}

// packet writes b as seen at time at (since start).
func (c *capture) packet(iface int, at time.Duration, b []byte) {
	if c.err != nil {
		return
	}
	c.err = c.w.WritePacket(gopacket.CaptureInfo{
		Timestamp: c.start.Add(at), CaptureLength: len(b), Length: len(b), InterfaceIndex: iface,
	}, b)
}

// close writes what is still buffered.
func (c *capture) close() error {
	if c.err == nil {
		c.err = c.w.Flush()
	}
	if c.err != nil {
		return fmt.Errorf("netem: capture: %w", c.err)
	}
	return nil
}
