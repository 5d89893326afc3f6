// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/ownfolder"
	"sandstream/internal/live/transport"
	"sandstream/overlayapi"
)

const rootHelp = `overlayd is one host of an overlay: hosts that measure the links between one
another, keep a k-ary n-cube of ids, and carry streams from publishers to
subscribers, each of whom states in a contract what it needs.

'overlayd run' is the daemon. The other commands talk to the daemon of this
machine over its unix socket.

  overlayd token > token
  overlayd run --create --token-file token --listen 10.0.0.1:7000
  overlayd run --join 10.0.0.1:7000 --token-file token --listen 10.0.0.2:7000

  ffmpeg -re -i film.mkv -c copy -f mpegts - | overlayd publish film --public
  overlayd subscribe film --latency 80ms --loss 0.5% | ffplay -

Exit status:
  0  done
  1  failed
  2  usage: the command line asks for something impossible
  3  not supported here
  4  permission: the daemon's socket belongs to its user and group
  5  timed out
and of 'subscribe', when the stream has not ended by its publisher's word:
  6  broken off: the publisher died, or cannot be reached any more
  7  the publisher has put this subscriber out
  8  the right to the stream has run out

Data goes to stdout, everything else to stderr. Every command that reads takes
--json; the fields are documented in docs/overlayd-use.md and do not change their
meaning.`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:               "overlayd",
		Short:             "A host of the overlay: streams with contracts",
		Long:              rootHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		// Without it cobra prints the help for an unknown subcommand, and is content.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cli.Strict(root)
	cli.Versioned(root, transport.WireVersion())
	root.PersistentFlags().String("socket", "", "unix socket of the daemon (default $"+overlayapi.SocketEnv+
		", else below /run or $XDG_RUNTIME_DIR)")
	root.AddCommand(
		runCommand(), tokenCommand(), identityCommand(), caCommand(),
		statusCommand(), peersCommand(), topologyCommand(), streamsCommand(), directoryCommand(), contractsCommand(), traceCommand(),
		publishCommand(), subscribeCommand(), withdrawCommand(), subscribersCommand(), evictCommand(), watchCommand(), leaveCommand(),
		demoCommand(), cli.DocsCommand("Sandstream overlay"),
	)
	return root
}

// socketPath is where the daemon of cmd listens.
func socketPath(cmd *cobra.Command) string {
	if s, _ := cmd.Flags().GetString("socket"); s != "" {
		return s
	}
	return overlayapi.DefaultSocket()
}

// withClient gives f a client of the daemon and makes f's error one for people.
func withClient(cmd *cobra.Command, f func(ctx context.Context, c *overlayapi.Client) error) error {
	if err := checkText(cmd); err != nil {
		return err
	}
	socket := socketPath(cmd)
	if err := overlayapi.CheckSocket(socket); err != nil {
		return fail.Usagef("%w (name a shorter one: --socket or $%s)", err, overlayapi.SocketEnv)
	}
	c := overlayapi.Dial(socket)
	defer c.Close()
	err := f(cmd.Context(), c)
	if err != nil && cmd.Context().Err() != nil {
		return errors.New("interrupted")
	}
	return explain(err, socket)
}

// checkText refuses names that no message of the API can hold.
func checkText(cmd *cobra.Command) error {
	texts := cmd.Flags().Args()
	for _, name := range []string{"spa", "degrade"} {
		if f := cmd.Flags().Lookup(name); f != nil {
			texts = append(texts, f.Value.(pflag.SliceValue).GetSlice()...)
		}
	}
	for _, t := range texts {
		if !utf8.ValidString(t) {
			return fail.Usagef("%s: %q is not UTF-8 text", cmd.CommandPath(), t)
		}
	}
	return nil
}

// explain maps an error of the API to the project's kinds, with the way out.
func explain(err error, socket string) error {
	var e *connect.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	var dial *net.OpError
	switch {
	case errors.Is(err, ownfolder.ErrNotOurs):
		return fail.Errorf(fail.ErrPermission, "talk to overlayd at %s: %w (choose another with --socket or $%s)", socket, ownfolder.ErrNotOurs, overlayapi.SocketEnv)
	case errors.Is(err, fs.ErrPermission):
		return fail.Errorf(fail.ErrPermission, "talk to overlayd at %s: permission denied (the socket is for its user and group: run as that user, or join the group)", socket)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("no overlayd answers at %s (start one: 'overlayd run'; or name its socket: --socket or $%s)", socket, overlayapi.SocketEnv)
	case !connect.IsWireError(err) && lost(err):
		return fmt.Errorf("the overlayd at %s is gone: it was stopped or has died (its log says why)", socket)
	}
	words := cli.Plain(e.Message()) // a name in it may be somebody else's
	switch e.Code() {
	case connect.CodeInvalidArgument:
		return fail.Usagef("%s", words)
	case connect.CodePermissionDenied:
		return fail.Errorf(fail.ErrPermission, "%s", words)
	case connect.CodeUnimplemented:
		return fail.Errorf(fail.ErrUnsupported, "%s", words)
	case connect.CodeDeadlineExceeded:
		return fail.Errorf(fail.ErrTimeout, "%s", words)
	}
	return errors.New(words)
}

// lost says whether a call's connection broke.
func lost(err error) bool {
	return connect.CodeOf(err) == connect.CodeUnavailable || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "http2: ") // the server's goodbye; its type is the library's own
}

// printMessage prints a message of the API as indented JSON.
func printMessage(cmd *cobra.Command, m proto.Message) error {
	b, err := overlayapi.MarshalJSON(m)
	if err != nil {
		return err
	}
	return indent(cmd.OutOrStdout(), b)
}
