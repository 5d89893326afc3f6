// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/daemon"
	"sandstream/internal/live/transport"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Be a host of the overlay",
		Long: `Be a host of the overlay until SIGTERM or 'overlayd leave', which hand its ids
over. One host creates the overlay; the others join through any member.

Each flag can also be a line of the configuration file (YAML: 'listen: ADDRESS')
or an environment variable (OVERLAYD_LISTEN=ADDRESS); a flag counts more than
the environment, and that more than the file.

Peers authenticate each other by a join token that all of them know, or by
certificates of a CA: put the one for this host's key (STATE/host.key) into
STATE/host.crt.`,
		Args: cli.NoArgs,
	}
	f := c.Flags()
	f.String("config", "", "configuration file")
	f.Bool("create", false, "create a new overlay, whose first host this is")
	f.StringSlice("join", nil, "join through the member at HOST:PORT; may be repeated")
	f.String("listen", ":7000", "UDP address of everything; an address of this machine that the other hosts reach, or with --advertise any. Without an address: all of them, IPv4 and IPv6")
	f.String("advertise", "", "HOST:PORT by which other hosts reach this one; a name is looked up again every minute (default: the one of --listen, or of the route to the first --join)")
	f.String("token-file", "", "file with the join token, readable by its owner only")
	f.String("ca", "", "file with the overlay's CA certificates (PEM)")
	f.String("state", "", "folder for this host's key (default $STATE_DIRECTORY, else overlayd in the folder of user data)")
	f.String("metrics", "", "serve Prometheus metrics on this TCP address")
	f.String("web", "", "serve the web page on this TCP address, e.g. 127.0.0.1:7080")
	f.String("capacity", "0", "bits per second that this host may send for others (e.g. 50M); 0: no bound")
	f.Int("radix", 3, "k of the k-ary n-cube, 2 or 3; all hosts of an overlay have the same")
	f.String("log-level", "info", "debug, info, warn or error")
	f.Bool("log-json", false, "log JSON lines")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		k, err := settings(cmd.Flags())
		if err != nil {
			return err
		}
		cfg, err := configure(cmd, k)
		if err != nil {
			return err
		}
		return daemon.Run(cmd.Context(), cfg)
	}
	return c
}

// settings gives flags the values of file and environment where the command line
// says nothing. A value that is none of its flag's is an error: the host would
// run with another than the one asked for.
func settings(flags *pflag.FlagSet) (*koanf.Koanf, error) {
	path, _ := flags.GetString("config")
	if path == "" {
		path = os.Getenv("OVERLAYD_CONFIG")
	}
	if path != "" {
		k := koanf.New(".")
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("configuration file %s: %w", path, err)
		}
		for _, key := range k.Keys() {
			f := setting(flags, key)
			if f == nil {
				return nil, fail.Usagef("configuration file %s: %q is no setting (see 'overlayd run --help': a setting is a flag without its dashes)", path, key)
			}
			if err := give(f, k.Get(key)); err != nil {
				return nil, fail.Usagef("configuration file %s: %s: %w", path, key, err)
			}
		}
	}
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, v string) (string, any) { return name, v }}), nil)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	for _, name := range k.Keys() {
		if name == "OVERLAYD_CONFIG" {
			continue
		}
		f := setting(flags, strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-"))
		if f == nil {
			return nil, fail.Usagef("environment: %s is no setting (see 'overlayd run --help': OVERLAYD_ and a flag's name in capitals, _ for -)", name)
		}
		if err := give(f, k.Get(name)); err != nil {
			return nil, fail.Usagef("environment: %s: %w", name, err)
		}
	}
	k = koanf.New(".")
	if err := k.Load(posflag.Provider(flags, ".", k), nil); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	return k, nil
}

const envPrefix = "OVERLAYD_"

// setting is the flag of a setting's name, nil if there is none.
func setting(flags *pflag.FlagSet, name string) *pflag.Flag {
	if name == "config" || name == "help" {
		return nil
	}
	return flags.Lookup(name)
}

// give sets a flag that the command line does not.
func give(f *pflag.Flag, v any) error {
	if f.Changed {
		return nil
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	var texts []string
	for _, e := range list {
		switch e.(type) {
		case string, bool, int, int64, uint64, float64:
			texts = append(texts, fmt.Sprint(e))
		default:
			return fmt.Errorf("%v is no value", e)
		}
	}
	if s, ok := f.Value.(pflag.SliceValue); ok {
		if !isList { // as on the command line
			texts = strings.FieldsFunc(texts[0], func(r rune) bool { return r == ',' })
		}
		return s.Replace(texts)
	}
	if isList {
		return fmt.Errorf("%v is a list, where one value is needed", v)
	}
	if f.Value.Set(texts[0]) != nil { // whose error speaks of Go's functions
		return fmt.Errorf("%q is not %s", texts[0], map[string]string{"bool": "true or false", "int": "a whole number"}[f.Value.Type()])
	}
	return nil
}

func configure(cmd *cobra.Command, k *koanf.Koanf) (daemon.Config, error) {
	cfg := daemon.Config{
		Create: k.Bool("create"), Join: k.Strings("join"), Listen: k.String("listen"), Advertise: k.String("advertise"),
		CAFile: k.String("ca"), StateDir: k.String("state"), Socket: socketPath(cmd),
		Metrics: k.String("metrics"), Web: k.String("web"), Radix: k.Int("radix"), Version: cli.Version(),
	}
	if cfg.Radix != 2 && cfg.Radix != 3 {
		return cfg, fail.Usagef("radix %d: it is 2 or 3, the same for all hosts of an overlay", cfg.Radix)
	}
	if cfg.Create == (len(cfg.Join) > 0) {
		return cfg, fail.Usagef("one of --create (a new overlay) and --join HOST:PORT (one that is there) is needed")
	}
	var err error
	if cfg.CapacityBps, err = parseRate(k.String("capacity")); err != nil {
		return cfg, fmt.Errorf("capacity: %w", err)
	}
	tokenFile := k.String("token-file")
	if (tokenFile == "") == (cfg.CAFile == "") {
		return cfg, fail.Usagef("one of --token-file (made by 'overlayd token') and --ca is needed: hosts authenticate each other")
	}
	if tokenFile != "" {
		if cfg.Token, err = readSecret(tokenFile); err != nil {
			return cfg, err
		}
	}
	if cfg.StateDir == "" {
		if cfg.StateDir, err = stateDir(); err != nil {
			return cfg, err
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(k.String("log-level"))); err != nil {
		return cfg, fail.Usagef("log level %q: debug, info, warn or error", k.String("log-level"))
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(cmd.ErrOrStderr(), opts)
	if k.Bool("log-json") {
		h = slog.NewJSONHandler(cmd.ErrOrStderr(), opts)
	}
	cfg.Log = slog.New(h)
	return cfg, nil
}

// readSecret reads a file that others must not be able to read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w (make one: overlayd token > %s)", err, path)
	}
	// Where systemd puts credentials only the service can read, whatever the mode says.
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if info.Mode().Perm()&0o077 != 0 && (dir == "" || filepath.Dir(path) != dir) {
		return "", fail.Errorf(fail.ErrPermission, "token file %s can be read by others (mode %#o): chmod 600 it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	if _, err := transport.ParseToken(string(b)); err != nil {
		return "", fail.Usagef("token file %s: %w", path, err)
	}
	return strings.TrimSpace(string(b)), nil
}

func stateDir() (string, error) {
	if d := os.Getenv("STATE_DIRECTORY"); d != "" { // set by systemd
		return d, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/sandstream", nil
	}
	if d := os.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "sandstream"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("state folder: %w (name one: --state)", err)
	}
	return filepath.Join(home, ".local", "state", "sandstream"), nil
}
