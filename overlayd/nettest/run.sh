#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Run tests of this folder whose bounds are of the wall clock, each at most three times: a
# machine that stands still breaks such a bound without a fault of anybody's. What must never be,
# whatever the clock does, the tests call FAULT; that is not tried again.
#
# usage: run.sh TEST...
set -eu
[ $# -gt 0 ] || { echo 'run.sh: name a test, as in: run.sh TestSixteenHosts' >&2; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
cd "$(dirname "$0")"
for t; do
	try=1
	while :; do
		echo "test-overlay: go test -run $t ./overlayd/nettest" >&2
		rm -f "$tmp/ok"
		{ go test -count=1 -v -run "^$t\$" . && : >"$tmp/ok"; } 2>&1 | tee "$tmp/out"
		[ -e "$tmp/ok" ] && break
		if grep -q 'FAULT:' "$tmp/out"; then
			echo "test-overlay: $t failed in what no clock has a part in (FAULT above): not tried again" >&2
			exit 1
		fi
		echo "test-overlay: $t: run $try of 3 failed" >&2
		[ $try = 3 ] && exit 1
		try=$((try + 1))
	done
done
