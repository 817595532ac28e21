#!/usr/bin/env bash
# quick-start.sh - follows README.md's quick start to the letter: takes the commands that stand between the marks `quick start` out of it and
# runs them, as a person whose own ssh reaches `web01`, on a clean host of the lab. Needs root, the debug build and target/dist.
set -euo pipefail
cd "$(dirname "$0")/.."
. lab/common.sh
export PROGRAM=${CARGO_TARGET_DIR:-$PWD/target}/debug
[ -x "$PROGRAM/mcp-linux-infra" ] || { echo "quick-start.sh: the debug build is missing: cargo build -p mcp-linux-infra" >&2; exit 2; }
work=$(mktemp -d)
finish() { LAB_FAST=1 lab/down.sh >/dev/null 2>&1 || true; rm -rf "$work"; }
trap finish EXIT
sed -n '/<!-- quick start -->/,/<!-- end of quick start -->/p' README.md | sed '/^ *```/d;/^ *<!--/d' >"$work/commands"
grep -q 'mcp-linux-infra deploy' "$work/commands" || { echo "quick-start.sh: README.md has no quick start between its marks" >&2; exit 1; }

LAB_FAST=1 lab/down.sh >/dev/null 2>&1
lab/up.sh 1 >&2
read -r _ address _ < <(grep '^t1 ' "$RUN/hosts")
# What the README takes for granted: a key of one's own, and ssh that reaches web01 as an administrator.
mkdir -m 700 "$work/home" "$work/home/.ssh"
ssh-keygen -q -t ed25519 -N '' -f "$work/home/.ssh/id_ed25519"
printf 'Host web01\n  User ops\n  IdentityFile %s\n  UserKnownHostsFile %s\n' "$KEYS/ops" "$work/home/.ssh/known_hosts" >"$work/home/.ssh/config"
echo "web01 $(cut -d' ' -f1,2 "$RUN/t1/root/etc/ssh/ssh_host_ed25519_key.pub")" >"$work/home/.ssh/known_hosts"
{ cat /etc/hosts; echo "$address web01"; } >"$work/hosts"
# OpenSSH looks into the home that the password file names: a mount namespace of its own puts this one there.
cat >"$work/run" <<'X'
set -euo pipefail
mount --bind "$1/hosts" /etc/hosts
mkdir -p /root/.ssh
mount --bind "$1/home/.ssh" /root/.ssh
export HOME=/root XDG_CONFIG_HOME=$1/config XDG_STATE_HOME=$1/state PATH=$PROGRAM:$PATH
unset SSH_AUTH_SOCK
bash -euxo pipefail "$1/commands"
X
ip netns exec "$LAB_NAME-ctl" unshare --mount bash "$work/run" "$work" </dev/null
echo "quick start: every command of README.md worked"
