// SPDX-License-Identifier: Apache-2.0

//go:build wire_next

package transport

// A build to come: a raised minor number, features and fields that this one does
// not know.
const (
	wireMin   = 2
	wireMax   = 2
	wireMinor = 1

	featureToCome  features = 1 << 63
	helloToCome             = "what older hosts do not know"
	reservedToCome          = 0x5a5a5a
)
