#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes overlayapi/overlayv1 from overlay.proto. The plugins' versions are those
# of go.mod; protoc is Debian's (protobuf-compiler). With an argument it writes
# there instead: 'make api-check' compares.
set -eu
cd "$(dirname "$0")/.."
out=${1:-.}
command -v protoc >/dev/null || { echo "generate.sh: protoc is missing: apt-get install protobuf-compiler" >&2; exit 3; }
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
mkdir -p "$out"
protoc -I overlayapi --plugin="$plugins/protoc-gen-go" --plugin="$plugins/protoc-gen-connect-go" \
	--go_out="$out" --go_opt=module=sandstream --connect-go_out="$out" --connect-go_opt=module=sandstream \
	overlayapi/overlay.proto
