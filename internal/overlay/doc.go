// SPDX-License-Identifier: Apache-2.0

// Package overlay is the protocol of the Sandstream overlay: membership on a
// k-ary n-cube, failure detection, link costs, greedy routing, and streams with
// a contract for every subscriber. It is a pure state machine. A Node holds the
// state of one host; its inputs are messages, the passing of time and requests
// of the local user; its outputs are messages and effects. No socket, clock,
// goroutine or source of randomness is inside: the driver passes time in, and
// all chance comes from the seed given to New. The daemon, the simulator and
// the tests drive the same code.
//
// # Ids and zones
//
// The cube's ids are strings of base-k digits, k = 2 or 3. A host owns zones: a
// zone is a prefix, and stands for all ids that begin with it. A zone of len
// digits stands for k^(n-len) ids of the k-ary n-cube, so that a host owns
// several ids (about eight at 65,536 hosts, as in the paper) in a few words of
// state, and the cube grows from n to n+1 with no message at all: a longer id
// has the same prefixes. Two zones are neighbours if, over the shorter of the
// two lengths, they differ in exactly one digit.
//
// # Ownership
//
// The right to a zone is an epoch: a counter and the host that claims it,
// ordered by the counter and then by the host. A host uses a counter for a zone
// once, so no two hosts own one (id, epoch), whatever is lost, delayed or cut
// apart. A zone changes hands in two phases (Offer, Accept, Commit, Done): the
// giver stops owning before the taker starts, and takes the zone back under a
// higher counter if the taker dies in between. When an owner dies, one of the
// heirs it had named claims its zones. After a partition heals, the former
// owner and the claimant meet (the claimant keeps asking for the former owner)
// and the higher epoch wins.
//
// # Routing
//
// Distance to an id is the number of wrong digits; each hop goes to the
// neighbour with the cheapest link among those that are nearer. Distance falls
// with every hop, so there are no loops.
//
// # Streams
//
// The owner of hash(stream id) keeps the stream's directory entry. A subscriber
// asks the publisher, who sends a Graft towards the subscriber's id, hop by
// hop, each hop adding the cost of its link. Hops on the way Attach to the hop
// before them, which makes a tree: a host has one parent for each stream. The
// subscriber knows the path's latency, loss and rate before the first packet,
// and so admits, degrades or refuses its contract; what is delivered is
// measured against it from then on.
package overlay
