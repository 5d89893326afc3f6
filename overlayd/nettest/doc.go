// SPDX-License-Identifier: Apache-2.0

// Package nettest runs many overlayd on one machine, each in a namespace of an
// emulated network (package netem), and checks what they do and what they say
// against observers that do not depend on them:
//
//   - Flows counts every datagram between every two hosts as the emulator moved it;
//   - Arrivals judges a stream of numbered, time-stamped payloads as an application
//     got it: all processes run on one machine and read one clock;
//   - Ownership polls who owns which zone and keeps every claim ever made;
//   - ffmpeg decodes the video that came out, and its frames are compared with the
//     frames that went in.
//
// The tests of this package are two scenarios. TestSixteenHosts: 16 hosts on a transit-stub topology,
// a video with eight subscribers who want different things, three hosts killed, a
// partition that heals. TestExchangeOfIDs: 48 hosts, and what exchanges of ids do for
// tight bounds. They print their figures, take three and two minutes, and end only the
// processes they have started. They need what netem needs (root or a user namespace,
// /dev/net/tun), the first ffmpeg with libx264 too; 'go test -short' leaves them out,
// run.sh is how 'make test-overlay' runs them.
package nettest
