#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Run tests of this folder whose bounds are of the wall clock. A machine that stands still breaks
# such a bound without a fault of anybody's: the tests say STALLED then, and a failed try does not
# count. Three that count are the end, or eight in all, or 15 minutes after which no try begins.
# What must never be, whatever the clock does, the tests call FAULT; that is not tried again.
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
	counted=0
	end=$(($(date +%s) + 900))
	while :; do
		echo "test-overlay: go test -run $t ./overlayd/nettest" >&2
		rm -f "$tmp/ok"
		{ go test -count=1 -timeout 20m -v -run "^$t\$" . && : >"$tmp/ok"; } 2>&1 | tee "$tmp/out"
		[ -e "$tmp/ok" ] && break
		if grep -q 'FAULT:' "$tmp/out"; then
			echo "test-overlay: $t failed in what no clock has a part in (FAULT above): not tried again" >&2
			exit 1
		fi
		if grep -q 'STALLED:' "$tmp/out"; then
			echo "test-overlay: $t: try $try failed, and this machine stood still (STALLED above): it does not count" >&2
		else
			counted=$((counted + 1))
			echo "test-overlay: $t: try $try failed: $counted of 3" >&2
		fi
		if [ $counted = 3 ] || [ $try = 8 ] || [ "$(date +%s)" -ge $end ]; then
			echo "test-overlay: $t failed in $try tries" >&2
			exit 1
		fi
		try=$((try + 1))
	done
done
