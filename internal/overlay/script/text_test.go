// SPDX-License-Identifier: Apache-2.0

package script

import (
	"testing"

	"sandstream/internal/overlay/wire"
)

// What a script says of a message is all that a script can say of it.
func TestTextRoundTrips(t *testing.T) {
	var n Names
	for _, m := range wire.Samples() {
		text := n.Format(m)
		got, err := n.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if again := n.Format(got); again != text {
			t.Errorf("%s\nis read as\n%s", text, again)
		}
	}
	for _, bad := range []string{"hello", "ping seq", "ping sequence:1", "ping seq:x", "moved records:[01/1@a", "query zone:7", "attach stream"} {
		if m, err := n.Parse(bad); err == nil {
			t.Errorf("%q is read as %s", bad, n.Format(m))
		}
	}
}
