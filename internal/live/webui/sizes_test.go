// SPDX-License-Identifier: Apache-2.0

package webui

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"sandstream/internal/live/webui/chrometest"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// shape is an overlay of some hosts as one of them sees it, and as a walk does.
type shape struct {
	hosts        int
	zones, known []*overlayv1.Zone
	links        []*overlayv1.Link
}

// shaped splits the largest zone in three until there is one for each host, and gives them
// out in turn.
func shaped(hosts int) *shape {
	digits := []string{""}
	for len(digits) < hosts {
		d := digits[0]
		digits = append(digits[1:], d+"0", d+"1", d+"2")
	}
	o := &shape{hosts: hosts}
	for i, d := range digits {
		o.zones = append(o.zones, &overlayv1.Zone{Digits: d, Counter: uint64(i + 1), Owner: hostN(i % hosts)})
	}
	linked := map[string]bool{}
	for _, z := range o.zones {
		id := z.Owner.Id
		if id != hostN(0).Id && !nextToOwn(o.zones, z) {
			continue
		}
		o.known = append(o.known, z)
		if id != hostN(0).Id && !linked[id] {
			linked[id] = true
			o.links = append(o.links, &overlayv1.Link{To: z.Owner, Suspect: len(o.links) == 1})
		}
	}
	return o
}

// nextToOwn says whether a zone differs in one digit from one of host 0.
func nextToOwn(zones []*overlayv1.Zone, z *overlayv1.Zone) bool {
	for _, own := range zones {
		if own.Owner.Id != hostN(0).Id {
			continue
		}
		wrong := 0
		for i := range min(len(own.Digits), len(z.Digits)) {
			if own.Digits[i] != z.Digits[i] {
				wrong++
			}
		}
		if wrong == 1 {
			return true
		}
	}
	return false
}

// document is what the daemon tells; step moves the costs, so that their order changes.
func (o *shape) document(t *testing.T, step int) []byte {
	links := make([]*overlayv1.Link, len(o.links))
	for i, l := range o.links {
		links[i] = &overlayv1.Link{To: l.To, Suspect: l.Suspect, CostUs: uint32(1000 + (i*7919+step*3301)%90_000)}
	}
	region := &overlayv1.Region{Digits: 6, Version: 4, Hosts: uint32(o.hosts)}
	far := o.links[len(o.links)-1].To
	return document(t, map[string]proto.Message{
		"status":   &overlayv1.StatusResponse{Self: hostN(0), State: "member", Radix: 3, Region: region, Engine: &overlayv1.Engine{Name: "portable"}},
		"topology": &overlayv1.TopologyResponse{Self: hostN(0), Radix: 3, Region: region, Zones: o.known, Links: links},
		"streams": &overlayv1.StreamsResponse{Streams: []*overlayv1.Stream{{
			Id: strings.Repeat("a", 32), Name: "a stream with a long name, as people give them", Publisher: far, RateBps: 4e6, Packets: uint64(step),
			Path: []*overlayv1.Hop{{Host: far}, {Host: hostN(0)}}, Children: []*overlayv1.Branch{{Host: o.links[0].To}},
		}}},
		"contracts": &overlayv1.SubscriptionsResponse{},
	})
}

// walk is what a walk over the whole finds.
func (o *shape) walk() ([]byte, error) {
	m := &overlayv1.DirectoryResponse{Map: o.zones, Zones: uint32(len(o.zones))}
	for i := range min(o.hosts, 40) {
		m.Entries = append(m.Entries, &overlayv1.Entry{Id: fmt.Sprintf("%032x", i), Name: fmt.Sprint("news <i>", i), Publisher: hostN(i), RateBps: 1e6})
	}
	return overlayapi.MarshalJSON(m)
}

// The page is whole and legible at each size of overlay and screen: nothing lies over
// another, nothing is wider than the screen, rows stay where they are, and the keyboard
// reaches every zone.
func TestPageAtEachSize(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	c := chrometest.Start(t, "http://127.0.0.1")
	number := func(js string) int {
		n, _ := c.Eval(js).(float64)
		return int(n)
	}
	for _, hosts := range []int{5, 16, 64, 300} {
		o := shaped(hosts)
		var step atomic.Int64
		s := httptest.NewServer(New(
			func(context.Context) ([]byte, error) { return o.document(t, int(step.Add(1))), nil },
			func(context.Context) ([]byte, error) { return o.walk() }))
		t.Cleanup(func() {
			s.CloseClientConnections() // the browser ends later, and reads until then
			s.Close()
		})
		for _, width := range []int{1280, 390} {
			name := fmt.Sprintf("%d hosts, %d pixels", hosts, width)
			c.Open(s.URL, width, 860, "light")
			c.Wait("document.querySelectorAll('#cube rect.zone').length === " + fmt.Sprint(len(o.known)))
			c.Eval("window.rows = [...document.querySelectorAll('#peers tbody tr')]; 0")
			seen := step.Load()
			c.Eval("document.getElementById('walk').click()")
			c.Wait("document.getElementById('walk-note').textContent.includes('zones of')")
			if n := number("document.querySelectorAll('#cube rect.zone').length"); n != len(o.zones) {
				t.Errorf("%s: %d of %d zones", name, n, len(o.zones))
			}
			if n := number("document.querySelectorAll('#directory tbody tr').length"); n != min(hosts, 40) {
				t.Errorf("%s: %d streams in the directory", name, n)
			}
			if n := number(overlapping("#cube text")); n != 0 {
				t.Errorf("%s: %d words of the cube lie over others", name, n)
			}
			if n := number(overlapping("#cube rect.zone")); n != 0 {
				t.Errorf("%s: %d zones lie over others", name, n)
			}
			if n := number(overlapping("header > *, main section, section h2, section th")); n != 0 {
				t.Errorf("%s: %d parts of the page lie over others", name, n)
			}
			if n := number("document.documentElement.scrollWidth"); n > width {
				t.Errorf("%s: the page is %d pixels wide", name, n)
			}
			if n := number("[...document.querySelectorAll('.wrap')].filter((w) => w.scrollWidth > w.clientWidth + 1).length"); width < 640 && n != 0 {
				t.Errorf("%s: %d tables are wider than the screen", name, n)
			}
			// Costs have changed their order since; rows have not.
			c.Wait(fmt.Sprintf("window.latest !== null && %d > 0", seen))
			for step.Load() < seen+3 {
				c.Wait("true")
			}
			if c.Eval("[...document.querySelectorAll('#peers tbody tr')].every((r, i) => r === window.rows[i])") != true {
				t.Errorf("%s: rows of neighbours jump", name)
			}
			if n := number(reached); n != len(o.zones) {
				t.Errorf("%s: the keyboard reaches %d of %d zones", name, n, len(o.zones))
			}
			if d, _ := c.Eval("document.getElementById('detail').innerText").(string); !strings.Contains(d, "epoch") {
				t.Errorf("%s: the zone that is chosen is not told of: %q", name, d)
			}
			c.Shot(fmt.Sprintf("size-%d-%d", hosts, width))
		}
	}
	if p := c.Complaints(); len(p) > 0 {
		t.Errorf("the page's complaints: %v", p)
	}
}

// overlapping counts the pairs of elements of which each covers a part of the other, but
// for those within one another.
func overlapping(selector string) string {
	return `(() => {
		const all = [...document.querySelectorAll('` + selector + `')].filter((e) => e.getClientRects().length);
		const box = all.map((e) => e.getBoundingClientRect());
		let n = 0;
		for (let i = 0; i < all.length; i++) for (let j = i + 1; j < all.length; j++) {
			if (all[i].contains(all[j]) || all[j].contains(all[i])) continue;
			const a = box[i], b = box[j];
			if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1) n++;
		}
		return n;
	})()`
}

// reached is how many zones arrow keys lead to, from this host's on.
const reached = `(() => {
	const svg = document.getElementById('cube');
	svg.focus();
	const press = (key) => { svg.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); return chosen; };
	const seen = new Set(), todo = [press('Home')];
	while (todo.length) {
		const at = todo.pop();
		if (seen.has(at)) continue;
		seen.add(at);
		for (const key of ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']) { chosen = at; todo.push(press(key)); }
	}
	press('Home');
	return seen.size;
})()`
