// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"
	"testing"

	"sandstream/internal/live/webui/chrometest"
	"sandstream/overlayapi/overlayv1"
)

// The page of a daemon that works: its zones, its stream, and the state of its
// contract, as it changes.
func TestPageOfALivingHost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	first := start(t, nil, nil)
	second := start(t, first, func(c *Config) { c.Web = "127.0.0.1:0" })
	third := start(t, first, nil)
	for _, d := range []*Daemon{first, second, third} {
		<-d.Joined()
	}
	c := chrometest.Start(t, "http://127.0.0.1")
	c.Open("http://"+second.control.WebAddr()+"/", 1280, 860, "light")
	c.Wait("document.getElementById('contracts').innerText.includes('No subscription on this host')")
	c.Wait("document.querySelectorAll('#peers tbody tr').length === 2")

	src := publishNumbers(t, first, &overlayv1.Announce{Name: "numbers", Public: true, RateBps: 100_000})
	x := readNumbers(t, second, &overlayv1.SubscribeRequest{Stream: "numbers", Contract: &overlayv1.Contract{LatencyUs: 2_000_000}})
	c.Wait("document.querySelectorAll('#contracts tbody tr').length === 1")
	c.Wait("document.querySelector('#contracts .pill').innerText === 'admitted'")
	c.Wait("document.querySelector('#contracts .spark path') !== null")
	c.Wait("document.querySelectorAll('#cube path.flow').length === 1")
	c.Wait("document.getElementById('streams').innerText.includes('subscribes')")
	c.Wait("Number(document.querySelector('#streams tbody td:last-child').innerText.replaceAll(',', '')) > 500")
	c.Shot("living")

	src.stop()
	<-x.done
	c.Wait("document.getElementById('streams').innerText.includes('No stream passes this host')")
	if p := c.Complaints(); len(p) > 0 {
		t.Errorf("the page's complaints: %v", p)
	}
	second.Close()
	c.Wait("!document.getElementById('notice').hidden")
	for _, p := range c.Complaints() { // that nobody is there, as often as the browser asked
		if !strings.Contains(p, "net::ERR_") {
			t.Errorf("the page's complaint once its host has gone: %s", p)
		}
	}
}
