#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# hop.sh REVISION - from command line to command line over one hop, old and new
#
# Builds overlayd of the revision and of this tree. In turn, each makes an overlay of two
# hosts in network namespaces joined by a veth pair of MTU 1500: 'publish' on one, fed as
# fast as it reads, 'subscribe' on the other, for SECONDS. Printed are what came, in Gbit/s,
# what all four processes used, in seconds of processor time for each Gbit that came, the
# ratio of each pair, and the median; beside them iperf3 (TCP, one stream) on the same veth
# pair. ROUNDS pairs; needs root. On a machine that does other things too, the
# processor time is what to look at.
set -euo pipefail
[ $# = 1 ] || { sed -n '4,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
rev=$1 rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-5}
[ "$(id -u)" = 0 ] || { echo 'hop: it makes network namespaces, which takes root' >&2; exit 4; }
for tool in ip iperf3; do
	command -v $tool >/dev/null || { echo "hop: $tool is missing: apt-get install iproute2 iperf3" >&2; exit 3; }
done
root=$(git rev-parse --show-toplevel)
git -C "$root" cat-file -e "$rev^{commit}" 2>/dev/null || { echo "hop: there is no commit $rev here" >&2; exit 2; }
work=$(mktemp -d)
left=hop-l-$$ right=hop-r-$$
clean() {
	for n in $left $right; do
		ip netns pids $n 2>/dev/null | xargs -r kill 2>/dev/null || true
		ip netns del $n 2>/dev/null || true
	done
	rm -rf "$work"
}
trap clean EXIT

mkdir "$work/tree"
git -C "$root" archive "$rev" | tar -x -C "$work/tree"
echo 'hop: building the programs' >&2
(cd "$work/tree" && go build -trimpath -o "$work/old" ./overlayd)
(cd "$root" && go build -trimpath -o "$work/new" ./overlayd)

ip netns add $left
ip netns add $right
ip -n $left link add e type veth peer name e netns $right
for s in "$left 1" "$right 2"; do
	set -- $s
	ip -n $1 address add 10.77.0.$2/24 dev e
	ip -n $1 link set e up
	ip -n $1 link set lo up
done
in_left() { ip netns exec $left "$@"; }
in_right() { ip netns exec $right "$@"; }
(umask 077; "$work/new" token >"$work/token")

# member SOCKET: waits until the daemon there is a member.
member() {
	for _ in $(seq 100); do
		"$bin" status --socket "$1" 2>/dev/null | grep -q 'member' && return
		sleep 0.1
	done
	{ echo "hop: $bin does not become a member"; cat "${1%.sock}.log"; } >&2
	exit 1
}

# ticks of processor time that children which ended, and the processes named, have used.
ticks() { cat "/proc/$1/stat" 2>/dev/null | sed 's/.*) //' | awk '{ print $12 + $13 }'; }

# one SIDE: prints Gbit/s and processor seconds for each Gbit.
one() {
	bin=$work/$1
	local d; d=$(mktemp -d "$work/run.XXXX")
	ip netns exec $left "$bin" run --create --state "$d/a" --socket "$d/a.sock" --listen 10.77.0.1:7000 --token-file "$work/token" >"$d/a.log" 2>&1 &
	local a=$!
	member "$d/a.sock"
	ip netns exec $right "$bin" run --join 10.77.0.1:7000 --state "$d/b" --socket "$d/b.sock" --listen 10.77.0.2:7000 --token-file "$work/token" >"$d/b.log" 2>&1 &
	local b=$!
	member "$d/b.sock"
	local before=$(($(ticks $a) + $(ticks $b)))
	local TIMEFORMAT='%U %S'
	{ time timeout -s INT $((seconds + 1)) "$bin" publish x --public --rate 4G --socket "$d/a.sock" </dev/zero >"$d/p.log" 2>&1 || true; } 2>"$d/p.time" &
	local p=$!
	until grep -q '^publishing' "$d/p.log" 2>/dev/null; do sleep 0.05; done
	{ time timeout -s INT "$seconds" "$bin" subscribe x --now --best-effort --socket "$d/b.sock" 2>"$d/s.log" | wc -c >"$d/bytes"; } 2>"$d/s.time"
	wait $p
	local after=$(($(ticks $a) + $(ticks $b)))
	kill $a $b; wait $a $b 2>/dev/null || true
	cat "$d/p.time" "$d/s.time" | awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v bytes="$(cat "$d/bytes")" -v s="$seconds" \
		'{ cpu += $1 + $2 } END { g = bytes * 8 / 1e9; printf "%.3f %.3f\n", g / s, (g > 0 ? (cpu + t / hz) / g : 0) }'
}

for i in $(seq "$rounds"); do
	if [ $((i % 2)) = 1 ]; then old=$(one old) new=$(one new); else new=$(one new) old=$(one old); fi
	in_right iperf3 -s -1 -D >/dev/null
	sleep 0.3
	wire=$(in_left iperf3 -c 10.77.0.2 -t 3 -f g 2>/dev/null | awk '/receiver/ { print $7 }')
	echo "hop $i: old $old, new $new (Gbit/s, processor s for each Gbit), iperf3 ${wire:-?} Gbit/s" | tee -a "$work/pairs"
done
for what in 'rate 4 7 1' 'processor 5 8 0'; do
	set -- $what
	awk -v o="$2" -v n="$3" -v up="$4" '{ gsub(",", ""); if ($o > 0 && $n > 0) print up ? $n / $o : $o / $n }' "$work/pairs" | sort -n |
		awk -v what="$1" '{ r[NR] = $1 } END { printf "%-9s new is %.2f times as good as old: median of %d pairs (%.2f to %.2f)\n", what, NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2, NR, r[1], r[NR] }'
done
