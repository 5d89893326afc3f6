// SPDX-License-Identifier: Apache-2.0

// Command fanout measures how fast and how evenly one stream reaches many
// subscribers through one host, by this project's transport, by gossipsub
// (go-libp2p-pubsub) and by nats-server, in interleaved rounds of one run.
//
// All have the same shape: a publisher, a hub, and subscribers of the hub; all of
// one system in one process, connected over the loopback interface. A round
// runs every system once, each as a process of its own, so that one's garbage
// is not another's. What is compared:
//
//	throughput  as fast as it goes with at most --window packets on the way:
//	            deliveries a second of CPU time (of the whole process, user and
//	            system, by getrusage), and of wall time
//	delay       at --rate packets a second: from before publishing to the
//	            subscriber's callback, P50 and P99 over all subscribers
//	stall       Sandstream's delay while one subscriber's callback does not return: the
//	            P99 of the others, as a ratio to that without; short segments of both
//	            alternate in one process
//	idle        --hosts hosts in one process, each connected to --degree others, all
//	            quiet: heap, stacks and goroutines of a host
//
// Sandstream and gossipsub authenticate and encrypt as they come; nats does not,
// and also runs with TLS. Sandstream seals payload once, at the publisher, and opens it at
// each subscriber; the hub authenticates headers, and sees no payload.
//
// On a machine that has other work, the measured processes go before it
// (SCHED_RR) if they may; all of them alike.
//
// It is a module of its own, so that what it compares with is no part of
// Sandstream.
package main
