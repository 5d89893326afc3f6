// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/v2"

	"sandstream/internal/fail"
)

// A flag counts more than the environment, and that more than the file.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "overlayd.yaml")
	if err := os.WriteFile(file, []byte("listen: 10.0.0.1:1\nweb: 127.0.0.1:1\nmetrics: 127.0.0.1:1\njoin: [a:1, b:2]\ncreate: false\nradix: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OVERLAYD_WEB", "127.0.0.1:2")
	t.Setenv("OVERLAYD_METRICS", "127.0.0.1:2")
	t.Setenv("OVERLAYD_TOKEN_FILE", "secret")
	t.Setenv("OVERLAYD_CONFIG", file)
	c := runCommand()
	if err := c.ParseFlags([]string{"--metrics", "127.0.0.1:3", "--capacity", "5M"}); err != nil {
		t.Fatal(err)
	}
	k, err := settings(c.Flags())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"listen": "10.0.0.1:1", "web": "127.0.0.1:2", "metrics": "127.0.0.1:3", "token-file": "secret", "capacity": "5M", "log-level": "info",
	} {
		if got := k.String(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := k.Strings("join"); !slices.Equal(got, []string{"a:1", "b:2"}) || k.Int("radix") != 2 {
		t.Errorf("join %v, radix %d", got, k.Int("radix"))
	}
	t.Setenv("OVERLAYD_JOIN", "c:3,d:4")
	if k, err = settings(c.Flags()); err != nil || !slices.Equal(k.Strings("join"), []string{"c:3", "d:4"}) {
		t.Errorf("join from the environment: %v, %v", k.Strings("join"), err)
	}
}

// What is written is what the host runs with, or it does not run.
func TestWrongSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overlayd.yaml")
	load := func(text string, args ...string) (*koanf.Koanf, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := runCommand()
		if err := c.ParseFlags(append(args, "--config", path)); err != nil {
			t.Fatal(err)
		}
		return settings(c.Flags())
	}
	wrong := func(err error, words ...string) {
		t.Helper()
		if fail.Status(err) != 2 {
			t.Errorf("%v: %v, status %d", words, err, fail.Status(err))
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q is not in %q", w, err)
			}
		}
	}
	for text, value := range map[string]string{
		"radix: three": "three", "radix: 2.7": "2.7", "create: maybe": "maybe", "listen: [a, b]": "list", "join: [{a: 1}]": "no value",
		"metrics:": "no value", "config: x": "no setting", "listen: {a: 1}": "no setting",
	} {
		_, err := load(text)
		wrong(err, path, text[:strings.IndexByte(text, ':')], value)
	}
	for name, value := range map[string]string{"RADIX": "abc", "CREATE": "yes", "BOGUS": "1", "LOG_JSON": ""} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OVERLAYD_"+name, value)
			_, err := load("")
			wrong(err, "OVERLAYD_"+name)
		})
	}
	k, err := load("join: 127.0.0.1:1\ncapacity: 5000000\nlog-json: true\nradix: 3", "--radix", "2")
	if err != nil || !slices.Equal(k.Strings("join"), []string{"127.0.0.1:1"}) || k.String("capacity") != "5000000" || !k.Bool("log-json") || k.Int("radix") != 2 {
		t.Errorf("%v, %v", k.All(), err)
	}
}

func TestUnits(t *testing.T) {
	for s, want := range map[string]uint64{"0": 0, "800k": 800e3, "2M": 2e6, "1.5G": 15e8, "3000": 3000, "2Mbit/s": 2e6} {
		if got, err := parseRate(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for s, want := range map[string]uint32{"0.5%": 5000, "5000ppm": 5000, "0%": 0, "100%": 1e6} {
		if got, err := parseLoss(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "M", "-1", "NaN", "1e99", "2T"} {
		if v, err := parseRate(s); err == nil {
			t.Errorf("rate %q is %d", s, v)
		}
	}
	for _, s := range []string{"", "5", "101%", "-1%", "NaN%"} {
		if v, err := parseLoss(s); err == nil {
			t.Errorf("loss %q is %d", s, v)
		}
	}
	st, err := parseStage("filter:keyframes=1,audio=0x0@sink")
	if err != nil || st.Spa != "filter" || st.Place != "sink" || st.Params["keyframes"] != 1 || len(st.Params) != 2 {
		t.Errorf("%v, %v", st, err)
	}
}
