// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"testing"

	"connectrpc.com/connect"

	"sandstream/overlayapi/overlayv1"
)

// A page costs a bounded number of look-ups, and pages together are the whole.
func TestDirectory(t *testing.T) {
	h := &fakeHost{}
	_, c := serve(t, h)
	page := func(page string, limit uint32) *overlayv1.DirectoryResponse {
		t.Helper()
		h.asked = 0
		r, err := c.Directory(t.Context(), connect.NewRequest(&overlayv1.DirectoryRequest{Page: page, Limit: limit}))
		if err != nil {
			t.Fatal(err)
		}
		if int(r.Msg.Zones) != h.asked || h.asked > zonesAtOnce {
			t.Errorf("%d zones asked, it says %d", h.asked, r.Msg.Zones)
		}
		return r.Msg
	}
	first := page("", 0)
	if len(first.Entries) != 22 || first.Entries[21].Name != "s63" || first.Next != "40" || first.Incomplete != "" {
		t.Errorf("the first page: %v", first)
	}
	second := page(first.Next, 5)
	if len(second.Entries) != 5 || second.Entries[0].Name != "s66" || second.Next != "4f" {
		t.Errorf("the second page: %v", second)
	}
	if m := page("bd", 0); m.Incomplete != "silence" || m.Next != "" || len(m.Entries) != 1 {
		t.Errorf("a host that does not answer: %v", m)
	}
	if m := page("c0", 0); m.Incomplete != "" || m.Next != "" || len(m.Entries) != 3 {
		t.Errorf("the last page: %v", m)
	}
	if _, err := c.Directory(t.Context(), connect.NewRequest(&overlayv1.DirectoryRequest{Page: "x"})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("no page: %v", err)
	}
	h.err = errors.New("not a member")
	if _, err := c.Directory(t.Context(), connect.NewRequest(&overlayv1.DirectoryRequest{})); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("no member: %v", err)
	}
}
