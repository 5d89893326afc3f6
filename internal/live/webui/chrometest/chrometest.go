// SPDX-License-Identifier: Apache-2.0

// Package chrometest lets tests look at a web page in a real browser: a headless
// Chromium, driven by its DevTools protocol over a pipe.
package chrometest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Chrome is a browser with one page. Its methods end the test when the browser
// fails. Messages to and from it are JSON, each ended by a zero byte.
type Chrome struct {
	t       *testing.T
	in      *os.File
	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
	session string

	problems []string // of the page: errors, warnings, requests to elsewhere
	origin   string
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// Start starts a browser that ends with the test, or skips the test where there
// is none. The page may ask nothing of addresses that do not begin with origin.
func Start(t *testing.T, origin string) *Chrome {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no Chromium: apt-get install chromium")
	}
	// The child reads from its descriptor 3 and writes to 4.
	toChild, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// A folder of its own in place of t.TempDir: the browser's children write to it
	// for a moment after it has ended.
	profile, err := os.MkdirTemp("", "webui-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.Env = append(os.Environ(), "TMPDIR="+profile)
	cmd.ExtraFiles = []*os.File{toChild, fromChild}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toChild.Close()
	fromChild.Close()
	c := &Chrome{t: t, in: in, waiting: map[int]chan reply{}, origin: origin}
	read := make(chan struct{})
	go func() { defer close(read); c.read(out) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group that it made
		_ = cmd.Wait()
		in.Close()
		out.Close()
		<-read
		for range 20 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	var target struct{ TargetID string }
	c.call(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	var attached struct{ SessionID string }
	c.call(&attached, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		c.call(nil, domain+".enable", nil)
	}
	return c
}

func (c *Chrome) read(out *os.File) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		b, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			reply
		}
		if json.Unmarshal(b[:len(b)-1], &m) != nil {
			continue
		}
		c.mu.Lock()
		if w := c.waiting[m.ID]; w != nil && m.ID != 0 {
			delete(c.waiting, m.ID)
			w <- m.reply
		} else {
			c.event(m.Method, m.Params)
		}
		c.mu.Unlock()
	}
}

// event notes what a page must not do.
func (c *Chrome) event(method string, params json.RawMessage) {
	switch method {
	case "Runtime.exceptionThrown", "Log.entryAdded":
		c.problems = append(c.problems, method+" "+string(params))
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		if json.Unmarshal(params, &p) == nil && !strings.HasPrefix(p.Request.URL, c.origin) && !strings.HasPrefix(p.Request.URL, "data:") && p.Request.URL != "about:blank" {
			c.problems = append(c.problems, "request to "+p.Request.URL)
		}
	}
}

func (c *Chrome) try(result any, method string, params any) error {
	w := make(chan reply, 1)
	c.mu.Lock()
	c.next++
	m := map[string]any{"id": c.next, "method": method}
	if params != nil {
		m["params"] = params
	}
	if c.session != "" {
		m["sessionId"] = c.session
	}
	c.waiting[c.next] = w
	b, err := json.Marshal(m)
	if err == nil {
		_, err = c.in.Write(append(b, 0))
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case r := <-w:
		if r.Error != nil {
			return errors.New(r.Error.Message)
		}
		if result != nil {
			return json.Unmarshal(r.Result, result)
		}
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s: no answer from the browser", method)
	}
}

func (c *Chrome) call(result any, method string, params any) {
	c.t.Helper()
	if err := c.try(result, method, params); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

// Eval gives the value of a JavaScript expression.
func (c *Chrome) Eval(expr string) any {
	c.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	c.call(&r, "Runtime.evaluate", map[string]any{"expression": expr, "returnByValue": true, "awaitPromise": true})
	if r.ExceptionDetails != nil {
		c.t.Fatalf("%s: %s", expr, r.ExceptionDetails)
	}
	return r.Result.Value
}

// Wait waits until a JavaScript expression is true.
func (c *Chrome) Wait(expr string) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); c.Eval(expr) != true; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not true after 20 s: %s\n%v", expr, c.Eval("document.body.innerText"))
		}
	}
}

// Open shows a page in a window of that size, and in the scheme "light" or
// "dark", and waits until the page says that it is ready (data-ready of body).
func (c *Chrome) Open(url string, width, height int, scheme string) {
	c.t.Helper()
	c.call(nil, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
	c.call(nil, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme},
		{"name": "prefers-reduced-motion", "value": "reduce"}, // without a graphics card each step paints all anew
	}})
	c.call(nil, "Page.navigate", map[string]any{"url": url})
	c.Wait("document.body && document.body.dataset.ready === 'yes'")
}

// Shot keeps a picture in the folder that OVERLAYD_SHOTS names, to be looked at.
func (c *Chrome) Shot(name string) {
	c.t.Helper()
	var r struct{ Data string }
	c.call(&r, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
	b, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil || len(b) < 1000 {
		c.t.Fatalf("screenshot %s: %d bytes, %v", name, len(b), err)
	}
	if dir := os.Getenv("OVERLAYD_SHOTS"); dir != "" {
		if err := os.WriteFile(dir+"/"+name+".png", b, 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Complaints are what the page did that it must not: errors, warnings, requests
// to elsewhere.
func (c *Chrome) Complaints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problems
}
