# Runs a command in the first of two networks that are joined by a cable and by nothing else:
#
#     unshare --net --pid --mount-proc --fork --kill-child sh two_networks.sh DIRECTORY NAME COMMAND...
#
# The addresses are 10.66.0.1 here and 10.66.0.2 there, at the interface `wire` of each. The launcher's agent, which
# starts what a launcher wants to run on the other host, is DIRECTORY/agent. The other network's host has a name of its
# own if NAME is not empty. Nothing is left when the first process has ended: a network goes with its last process.
set -eu
directory=$1 name=$2
shift 2

unshare --net ${name:+--uts} sleep infinity &
other=$!
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do
    kill -0 $other
done
there() { nsenter --target $other --net ${name:+--uts} "$@"; }

ip link add wire type veth peer name wire netns $other
ip address add 10.66.0.1/24 dev wire
there ip address add 10.66.0.2/24 dev wire
for link in lo wire; do
    ip link set $link up
    there ip link set $link up
done
if [ -n "$name" ]; then there hostname "$name"; fi

cat >"$directory/agent" <<AGENT
#!/bin/sh
# The first argument is the host.
shift
exec nsenter --target $other --net ${name:+--uts} sh -c "\$*"
AGENT
chmod +x "$directory/agent"
"$@"
