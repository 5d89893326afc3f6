#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Write everything that is derived from uapi/uls.yaml and uapi/uls_shm.h:
# C by the kernel's own generator, Go and documentation by ours.
#
#	generate.sh <kernel source tree> [<output root>]
#
# The output root is the project by default; `make check-generated` gives
# another one and compares.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
ksrc=${1:?usage: generate.sh <kernel source tree> [<output root>]}
root=${2:-$(dirname "$here")}
gen=$ksrc/tools/net/ynl/ynl-gen-c.py

if [ ! -f "$gen" ]; then
	echo "generate.sh: $gen not found: name a Linux 6.12 source tree with KSRC=," >&2
	echo "or run 'make abi' in the project's root, which takes the lab's" >&2
	exit 2
fi

if ! python3 -c 'import yaml, jsonschema'; then
	echo "generate.sh: install Debian's python3-yaml and python3-jsonschema ('make deps' does)" >&2
	exit 3
fi

# The generator names the spec by its path below a directory that holds a file
# MAINTAINERS, and searches upwards for that without end; it takes the schema
# from beside the spec's folder.  So give it a tree that looks right.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/kmod/uapi"
: >"$tree/MAINTAINERS"
cp "$here/uapi/uls.yaml" "$tree/kmod/uapi/"
cp "$ksrc/Documentation/netlink/genetlink.yaml" "$tree/kmod/"

ynl() { # mode, --header or --source, output
	mkdir -p "$(dirname "$3")"
	timeout 60 python3 "$gen" --mode "$1" "$2" \
		--spec "$tree/kmod/uapi/uls.yaml" -o "$3"
}
ynl uapi --header "$root/kmod/generated/uapi/linux/uls_netlink.h"
ynl kernel --header "$root/kmod/generated/uls_netlink_gen.h"
ynl kernel --source "$root/kmod/generated/uls_netlink_gen.c"

mkdir -p "$root/uls/internal/abi" "$root/docs"
cd "$(dirname "$here")"
go run ./internal/host/ynlgen -spec kmod/uapi/uls.yaml -shm kmod/uapi/uls_shm.h \
	-go "$root/uls/internal/abi" -doc "$root/docs/abi.md"
