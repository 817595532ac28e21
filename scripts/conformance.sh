#!/usr/bin/env bash
# conformance.sh - the official MCP conformance suite against `serve --http`, both revisions, and the Inspector's strict mode over
# stdio and HTTP. Scenarios that need a named fixture of the suite stand in tests/conformance/expected-REVISION.yml; any other
# failure, and any listed one that passes, fails the run. Pinned versions go to target/conformance. Needs npm and the debug build.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
program=$target/debug/mcp-linux-infra
tools=$target/conformance
[ -x "$program" ] || { echo "conformance.sh: $program is missing: cargo build -p mcp-linux-infra" >&2; exit 2; }
command -v npm >/dev/null || { echo "conformance.sh: npm is missing: apt-get install npm" >&2; exit 2; }

# The suite needs node 22, which is a package of npm too.
pins=(node@22.23.3 @modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/inspector@2.12.0)
if [ "$(cat "$tools/pins" 2>/dev/null)" != "${pins[*]}" ]; then
  npm install --prefix "$tools" --no-audit --no-fund --loglevel=error "${pins[@]}"
  printf '%s' "${pins[*]}" >"$tools/pins"
fi
node=$tools/node_modules/node/bin/node
suite=$tools/node_modules/@modelcontextprotocol/conformance/dist/index.js
inspector=$tools/node_modules/.bin/mcp-inspector

work=$(mktemp -d)
. scripts/serve-http.sh
trap 'stop_server; rm -rf "$work"' EXIT
# The suite sends more than a person's assistant does.
printf '[limits]\ncalls_per_minute = 100000\n' >"$work/config.toml"
export XDG_STATE_HOME=$work/state HOME=$work
start_server "$work/config.toml"

failed=0
for revision in 2025-11-25 2026-07-28; do
  echo "-- conformance $revision"
  "$node" "$suite" server --url "$url" --requirements "$revision" -o "$work/$revision" \
    --expected-failures "tests/conformance/expected-$revision.yml" >"$work/$revision.log" 2>&1 || failed=1
  grep -E '^Total:|[Bb]aseline check|Unexpected|Stale' -A9 "$work/$revision.log" | grep -v '^ *~' || cat "$work/$revision.log"
done
inspect() {
  echo "-- inspector --strict, $*"
  "$node" "$inspector" --cli "$@" --method tools/list --strict --format json -q >"$work/tools.json" 2>"$work/inspector.log" || failed=1
  tail -1 "$work/inspector.log"
}
export LINUX_MCP_CONFIG=$work/config.toml
for era in legacy modern; do
  inspect "$url" --transport http --protocol-era $era
  inspect "$program" serve --protocol-era $era
done
exit $failed
