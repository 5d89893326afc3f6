// SPDX-License-Identifier: Apache-2.0

//go:build !wire_next && !wire_future

package transport

// The versions of this build. The build tags wire_next and wire_future make hosts
// of builds to come, for tests of what this one does with them.
const (
	wireMin   = 2
	wireMax   = 2
	wireMinor = 0
)

// toCome is what this build does not know yet.
const (
	featureToCome  features = 0
	helloToCome             = ""
	reservedToCome          = 0
)
