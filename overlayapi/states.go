// SPDX-License-Identifier: Apache-2.0

package overlayapi

// States of a subscription, of those that overlay.proto lists, that end it or are about
// an end.
const (
	StateRefused   = "refused"
	StateWithdrawn = "withdrawn"
	StateBrokenOff = "broken off"
	StateEvicted   = "evicted"
	StateExpired   = "expired"
	StateLost      = "lost"
)

// NoPublisher is the reason of a subscription that is refused because there is no such
// stream.
const NoPublisher = "no host publishes this stream"
