#!/usr/bin/env bash
# clients.sh - real client processes against the debug build: the official TypeScript SDK (1 and 2) and Python SDK, over stdio and
# HTTP, in both protocol eras. Pinned versions go to target/clients. Needs npm and python3 with venv.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
program=$target/debug/mcp-linux-infra
tools=$target/clients
[ -x "$program" ] || { echo "clients.sh: $program is missing: cargo build -p mcp-linux-infra" >&2; exit 2; }
command -v npm >/dev/null || { echo "clients.sh: npm is missing: apt-get install npm" >&2; exit 2; }

pins=(node@22.23.3 @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.3.1)
python=mcp==2.3.0
if [ "$(cat "$tools/pins" 2>/dev/null)" != "${pins[*]} $python" ]; then
  npm install --prefix "$tools" --no-audit --no-fund --loglevel=error "${pins[@]}"
  [ -x "$tools/venv/bin/pip" ] || python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "$python"
  printf '%s' "${pins[*]} $python" >"$tools/pins"
fi

work=$(mktemp -d)
. scripts/serve-http.sh
trap 'stop_server; rm -rf "$work"' EXIT
export XDG_STATE_HOME=$work/state HOME=$work
cat >"$work/config.toml" <<'END'
[[hosts]]
name = "web01"
address = "192.0.2.10"
tags = ["web"]
END
start_server "$work/config.toml"
# A module is looked for beside the script that names it.
cp tests/clients/client.mjs "$tools/"
"$tools/node_modules/node/bin/node" "$tools/client.mjs" "$program" "$work/config.toml" "$url"
"$tools/venv/bin/python" tests/clients/client.py "$program" "$work/config.toml" "$url"
