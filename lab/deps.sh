#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh - install what the project needs on Debian 12 (or 13): `make deps`. With the
# argument go, what Go programs alone need, `make deps-go`; that is all for overlayd, and
# on any system whose Go is new enough there is nothing to do.
#
# Does nothing, in a fraction of a second, when everything is there. Otherwise it
# installs the missing packages, as root or through sudo, and says beforehand what
# it is going to install or change. Exit statuses: 0 done, 1 failed, 3 this system
# is not supported, 4 no way to become root.
set -eu

# What and for which purpose: keep the list and the reasons together.
packages='
gcc libc6-dev make flex bison bc libelf-dev libssl-dev xz-utils lz4 cpio kmod patch diffutils perl
linux-source-6.12
qemu-system-x86
busybox-static
clang lld llvm
python3-yaml python3-jsonschema
sparse python3-ply python3-git
ca-certificates git
'
[ "${1-}" = go ] && packages='ca-certificates'
# kernel and module: first line; its source; the lab's machine; the guest's shell;
# XDP programs and SPAs: clang; netlink code generator: yaml, jsonschema; make check-kernel:
# sparse, ply, git.

say() { echo "deps: $*" >&2; }

fail() {
	status=$1
	shift
	say "$*"
	exit "$status"
}

missing_packages() {
	for p in $packages; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
		[ "$state" = installed ] || echo "$p"
	done
}

# go_is_new_enough: a go in PATH that is 1.26 or newer, or 1.21 or newer and free
# to fetch the toolchain that go.mod names.
go_is_new_enough() {
	command -v go >/dev/null 2>&1 || return 1
	version=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
	minor=$(echo "$version" | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
	[ -n "$minor" ] || return 1
	[ "$minor" -ge 26 ] && return 0
	[ "$minor" -ge 21 ] && [ "$(go env GOTOOLCHAIN)" != local ]
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	else
		fail 4 "not root and no sudo: run 'make deps' as root once"
	fi
}

# available PACKAGE: apt knows a version of it.
available() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }

updated=
update() {
	[ -n "$updated" ] && return
	say "apt-get update"
	as_root apt-get -qq update || fail 1 "apt-get update failed: see its message above"
	updated=yes
}

install() {
	say "apt-get install $*"
	as_root apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
		fail 1 "apt-get install failed: see its message above"
}

install_go() {
	for p in golang-1.26-go golang-1.25-go golang-1.24-go golang-1.23-go; do
		if available "$p"; then
			install "$p"
			return
		fi
	done
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	[ "$codename" = bookworm ] || fail 3 "no Go >= 1.21 in this system's package sources; install Go 1.26 by hand and run again"
	list=/etc/apt/sources.list.d/sandstream-backports.list
	say "Debian 12 has Go 1.19, too old. Adding its backports suite, in $list;"
	say "apt takes nothing from it unless asked by name. 'make undeps' removes that file."
	echo "deb http://deb.debian.org/debian bookworm-backports main" |
		as_root tee "$list" >/dev/null
	updated=
	update
	available golang-1.23-go || fail 3 "bookworm-backports has no golang-1.23-go; install Go 1.26 by hand and run again"
	install golang-1.23-go
}

# go is not in PATH when it comes from a versioned Debian package: print where it is.
go_path() {
	for d in /usr/lib/go-1.26 /usr/lib/go-1.25 /usr/lib/go-1.24 /usr/lib/go-1.23; do
		[ -x "$d/bin/go" ] && echo "$d/bin" && return
	done
}

if [ "${1-}" = go ] && PATH="$(go_path):$PATH" go_is_new_enough &&
	{ [ -e /etc/ssl/certs ] || [ -e /etc/pki/tls/certs ]; }; then
	exit 0
fi
command -v apt-get >/dev/null 2>&1 || fail 3 "this is not a Debian system (no apt-get). Needed: $(echo $packages), Go >= 1.26"

missing=$(missing_packages)
need_go=
if ! PATH="$(go_path):$PATH" go_is_new_enough; then need_go=yes; fi
if [ -z "$missing" ] && [ -z "$need_go" ]; then
	exit 0
fi
cost='(about 2 minutes, 1 GB)'
[ "${1-}" = go ] && cost='(about 1 minute, 300 MB)'
say "to be installed:" $missing ${need_go:+Go} "$cost"
update
for p in $missing; do
	available "$p" && continue
	case $p in
	linux-source-6.12)
		fail 3 "$p is in no package source. On Debian 12 it comes from the suite bookworm-security
deps: (deb http://security.debian.org/debian-security bookworm-security main); add it and run again" ;;
	*) fail 3 "$p is in no package source: is Debian's suite 'main' enabled?" ;;
	esac
done
[ -z "$missing" ] || install $missing
[ -z "$need_go" ] || install_go
say "done"
