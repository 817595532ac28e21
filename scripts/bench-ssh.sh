#!/usr/bin/env bash
# bench-ssh.sh [ROUNDS] - times one-shot commands and the session beside bash, sh, OpenSSH's ControlMaster, asyncssh and Go, on an
# sshd of its own; prints Markdown (docs/BENCHMARKS.md). As root, for namespaces of its own: nothing of the machine is changed, and
# everything it starts ends with it.
#   MCP_WRAPPER=FILE, BENCH_CLIENT=FILE   use these programs instead of building ours
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-101}
die() { echo "bench-ssh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root, for namespaces of its own"
[ -x /usr/sbin/sshd ] || die "needs sshd: apt-get install openssh-server"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

wrapper=${MCP_WRAPPER:-}
if [ -z "$wrapper" ]; then
  scripts/build-target.sh >&2
  wrapper=target/dist/mcp-wrapper
fi
client=${BENCH_CLIENT:-}
if [ -z "$client" ]; then
  client=$(cargo build --locked --release -p mcp-linux-infra --bench client --message-format=json |
    sed -nE 's/.*"name":"client".*"executable":"([^"]+)".*/\1/p' | tail -1)
fi

# The peers, where they can be had: a venv of its own, and Debian's golang-golang-x-crypto-dev where there is no module proxy.
peers=()
cache=target/bench-ssh
mkdir -p "$cache"
if [ -x "$cache/venv/bin/python" ] || { python3 -m venv "$cache/venv" && "$cache/venv/bin/pip" -q install asyncssh==2.21.1; } >&2; then
  peers+=(--asyncssh "$PWD/$cache/venv/bin/python")
else
  echo "bench-ssh: without asyncssh" >&2
fi
if command -v go > /dev/null && [ -d /usr/share/gocode/src/golang.org/x/crypto/ssh ] &&
  GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode go build -o "$cache/go-client" benches/ssh/client.go >&2; then
  peers+=(--go "$PWD/$cache/go-client")
else
  echo "bench-ssh: without Go: apt-get install golang-go golang-golang-x-crypto-dev" >&2
fi
[ ${#peers[@]} -gt 0 ] || die "no client for the one-shot commands"

# Of the processes in it the last one's end is the end of all.
unshare --mount --pid --net --uts --fork --kill-child --mount-proc bash -c 'ip link set lo up; mount --make-rprivate /; exec "$@"' - \
  python3 benches/ssh/bench.py --folder "$work/place" --wrapper "$wrapper" --client "$client" --rounds "$rounds" "${peers[@]}"
