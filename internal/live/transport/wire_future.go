// SPDX-License-Identifier: Apache-2.0

//go:build wire_future

package transport

// A build to come that no longer speaks this one's version.
const (
	wireMin   = 3
	wireMax   = 3
	wireMinor = 0

	featureToCome  features = 1 << 63
	helloToCome             = "what older hosts do not know"
	reservedToCome          = 0x5a5a5a
)
