#!/usr/bin/env bash
# The first process of a machine made of namespaces: gives it its own /run, /var/lib and /var/log,
# waits for its network, then keeps its programs running and reaps what they leave behind.
#   init.sh NAME DIRECTORY   (the machine goes up when a line arrives on standard input)
set -u
name=$1 directory=$2
hostname "$name"
mount --make-rshared /
mount -t tmpfs -o mode=755 "$name" /run
mkdir -p /run/lock /run/netns
for part in lib log; do mount --bind "$directory/var/$part" "/var/$part"; done

# The kubelet sets these when they differ, and they are the whole host's: show it what it wants.
while read -r path value; do
  [ -e "/proc/sys/$path" ] || continue
  echo "$value" >"/run/sysctl.${path//\//.}"
  mount --bind "/run/sysctl.${path//\//.}" "/proc/sys/$path"
done <<'WANTED'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
WANTED

read -r _ || exit 1
exec </dev/null

keep_running() {
  while :; do
    "$1" >>"$directory/log/$(basename "$1").log" 2>&1
    sleep 1
  done
}
for unit in "$directory"/units/*; do keep_running "$unit" & done
while :; do wait; sleep 1; done
