// SPDX-License-Identifier: Apache-2.0

package control

import (
	"testing"

	"sandstream/internal/overlay"
	"sandstream/overlayapi"
)

// What users of the API compare with is what it says.
func TestStatesAreCalledAsInTheAPI(t *testing.T) {
	for st, want := range map[overlay.ContractState]string{
		overlay.Refused: overlayapi.StateRefused, overlay.Withdrawn: overlayapi.StateWithdrawn, overlay.BrokenOff: overlayapi.StateBrokenOff,
		overlay.Evicted: overlayapi.StateEvicted, overlay.Expired: overlayapi.StateExpired, overlay.Lost: overlayapi.StateLost,
	} {
		if st.String() != want {
			t.Errorf("%q is called %q", want, st)
		}
	}
	if overlay.NoPublisher != overlayapi.NoPublisher {
		t.Errorf("%q, in the API %q", overlay.NoPublisher, overlayapi.NoPublisher)
	}
}
