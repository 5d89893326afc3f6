#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sets up the forwarder's one port, eth0 = 10.0.0.1/24. The neighbour 10.0.0.2 is
# the generator, with a fixed address so that nobody asks who it is; 10.0.9.0/24
# is the network behind it, for plain IP forwarding.
set -eu
mac=$1
for f in default all; do
	echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6
	echo 0 >/proc/sys/net/ipv4/conf/$f/send_redirects
	echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter
done
ip addr add 10.0.0.1/24 dev eth0
ip link set lo up
ip link set eth0 up
until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done
arp -s 10.0.0.2 "$mac"
ip route add 10.0.9.0/24 via 10.0.0.2
# QEMU's generator port takes no frame in the first second after its set-up.
sleep 1.2
