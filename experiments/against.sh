#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# against.sh REVISION - is this tree as fast and as small as an earlier one?
#
# Builds the programs of the revision and those of this tree and runs them in turn, so
# that a machine whose speed drifts does the same to both: the protocol's code at HOSTS
# simulated hosts (processor time), what an idle host takes, and the fan-out of the
# data path. It prints each pair's ratio new/old, and their median. ROUNDS pairs of each.
set -euo pipefail
[ $# = 1 ] || { sed -n '4,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
rev=$1 rounds=${ROUNDS:-5} hosts=${HOSTS:-10000}
root=$(git rev-parse --show-toplevel)
git -C "$root" cat-file -e "$rev^{commit}" 2>/dev/null || { echo "against: there is no commit $rev here" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old.tree"
git -C "$root" archive "$rev" | tar -x -C "$work/old.tree"
ln -s "$root" "$work/new.tree"

for side in old new; do
	echo "against: building the programs of $side" >&2
	(
		cd "$work/$side.tree"
		go build -trimpath -o "$work/$side.experiments" ./experiments
		# The daemon's package has moved since; it is where its test of idle hosts is.
		pkg=$(dirname "$(grep -rl --include='*_test.go' '^func TestIdleHosts' internal | head -1)")
		go test -c -o "$work/$side.idle" "./$pkg"
		echo "$PWD/$pkg" >"$work/$side.pkg"
		cd experiments/fanout && go build -trimpath -o "$work/$side.fanout" .
	)
done

churn() { # seconds of processor time
	local TIMEFORMAT=%U
	{ time "$work/$1.experiments" churn --sizes "$hosts" --duration 5s --cut 0s --streams 5 --results '' >"$work/$1.said" 2>/dev/null; } 2>&1
}
idle() { # bytes of heap and stacks
	(cd "$(cat "$work/$1.pkg")" && "$work/$1.idle" -test.count=1 -test.run '^TestIdleHosts$' -test.v) |
		sed -n 's/.*: an idle host: \([0-9]*\) bytes of heap, \([0-9]*\) of stacks.*/\1 \2/p' | awk '{ print $1 + $2 }'
}
fanout() { # deliveries a second and core
	"$work/$1.fanout" --parts throughput --systems sandstream --rounds 3 --no-progress --results '' --json |
		sed -n 's,.*"deliveries/s per core": *\([0-9.]*\).*,\1,p' 
}

for what in churn idle fanout; do
	for i in $(seq "$rounds"); do
		# Who begins changes from pair to pair.
		if [ $((i % 2)) = 1 ]; then old=$($what old) new=$($what new); else new=$($what new) old=$($what old); fi
		echo "$what $i $old $new" | tee -a "$work/pairs" >&2
	done
	if [ "$what" = churn ] && ! cmp -s "$work/old.said" "$work/new.said"; then
		echo 'against: the two say different things of the same simulated network' >&2
	fi
	awk -v what="$what" '$1 == what && $3 > 0 { print $4 / $3 }' "$work/pairs" | sort -n |
		awk -v what="$what" '{ r[NR] = $1 } END { printf "%-7s new/old: median %.3f of %d pairs (%.3f to %.3f)\n", what, NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2, NR, r[1], r[NR] }'
done
