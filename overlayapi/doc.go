// SPDX-License-Identifier: Apache-2.0

// Package overlayapi talks to the overlayd of this machine over its unix socket:
//
//	c := overlayapi.Dial(overlayapi.DefaultSocket())
//	defer c.Close()
//	s, err := c.Status(ctx, connect.NewRequest(&overlayv1.StatusRequest{}))
//
// Announced and Feed publish and subscribe with the payloads beside HTTP, see package
// door.
//
// The messages are generated from overlay.proto, which is the reference of the
// API; package overlayv1 has them, overlayv1connect the client and the handler.
// JSON of the API, and of 'overlayd --json', has the field names of overlay.proto
// and all fields, those that are zero too; MarshalJSON makes it.
package overlayapi
