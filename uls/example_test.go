// SPDX-License-Identifier: Apache-2.0

package uls_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"sandstream/uls"
)

func ExampleParseFlow() {
	f, err := uls.ParseFlow("udp dst 10.0.1.1:9000 -> 10.0.2.2:9001 mac 52:54:00:00:00:02")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.DstIP, f.NewDstPort)
	fmt.Println(f)

	_, err = uls.ParseFlow("udp dst 10.0.1.1:99999")
	fmt.Println(errors.Is(err, uls.ErrInvalid))
	// Output:
	// 10.0.1.1 9001
	// udp dst 10.0.1.1:9000 -> 10.0.2.2:9001 mac 52:54:00:00:00:02
	// true
}

func ExampleParseReserve() {
	r, err := uls.ParseReserve("300us/1ms")
	fmt.Println(r.Runtime, r.Period, err)
	// Output: 300µs 1ms <nil>
}

// Map an SPA, watch it for a minute, take it away.
func ExampleClient_Map() {
	c, err := uls.New()
	if errors.Is(err, uls.ErrNotSupported) {
		log.Fatal(err) // names what is missing and the way out
	}
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	flow, err := uls.ParseFlow("udp dst 10.0.1.1:9000 -> 10.0.2.2:9001")
	if err != nil {
		log.Fatal(err)
	}
	spa, err := c.Map(uls.MapOptions{
		File: "forward.spa", Device: "eth0", Flows: []uls.Flow{flow},
		Reserve: &uls.Reserve{Runtime: 300 * time.Microsecond, Period: time.Millisecond},
	})
	switch {
	case errors.Is(err, os.ErrPermission):
		log.Fatal("run it as root")
	case errors.Is(err, uls.ErrBusy):
		log.Fatal("the queue has an SPA")
	case err != nil:
		log.Fatal(err)
	}
	defer c.Unmap(spa.Name)

	events, err := uls.Subscribe()
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		e, err := events.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err == nil && e.Kind == uls.EventAborted && e.SPA.ID == spa.ID {
			log.Println(spa.Name, e.SPA.Abort.Text)
			return
		}
	}
	stats, err := c.Stats(spa)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.RXFrames, "frames,", stats.Upcalls["rx"], "upcalls")
}
