#!/usr/bin/env bash
# conformance.sh - the official MCP conformance suite against `serve --http`, both revisions, and the Inspector's strict mode over
# stdio and HTTP. Scenarios that need a named fixture of the suite stand in tests/conformance/expected-REVISION.yml; any other
# failure, and any listed one that passes, fails the run. Then the suite again, with the fixtures of the feature
# conformance-fixtures, where nothing may fail. Pinned versions go to target/conformance. Needs npm and the debug build.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
real=$target/debug/mcp-linux-infra
fixtures=$target/debug/examples/conformance-fixtures
tools=$target/conformance
[ -x "$real" ] || { echo "conformance.sh: $real is missing: cargo build -p mcp-linux-infra" >&2; exit 2; }
command -v npm >/dev/null || { echo "conformance.sh: npm is missing: apt-get install npm" >&2; exit 2; }

# An example, so the program itself stays as it is. The packages are those of the test run, whose dependencies are built already.
cargo build --locked --quiet --workspace --exclude e2e --example conformance-fixtures --features mcp-linux-infra/conformance-fixtures

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

failed=0
# conformance REVISION OPTIONS... - one run of the suite against the server
conformance() {
  local revision=$1 log=$work/$1.log; shift
  "$node" "$suite" server --url "$url" --requirements "$revision" -o "$work/$revision" "$@" >"$log" 2>&1 || failed=1
  grep -E '^Total:|[Bb]aseline check|Unexpected|Stale' -A9 "$log" | grep -v '^ *~' || cat "$log"
}
program=$real
start_server "$work/config.toml"
for revision in 2025-11-25 2026-07-28; do
  echo "-- conformance $revision"
  conformance "$revision" --expected-failures "tests/conformance/expected-$revision.yml"
done
inspect() {
  echo "-- inspector --strict, $*"
  "$node" "$inspector" --cli "$@" --method tools/list --strict --format json -q >"$work/tools.json" 2>"$work/inspector.log" || failed=1
  tail -1 "$work/inspector.log"
}
for era in legacy modern; do
  inspect "$url" --transport http --protocol-era $era
  LINUX_MCP_CONFIG=$work/config.toml inspect "$real" serve --protocol-era $era
done
stop_server

program=$fixtures
start_server "$work/config.toml"
for revision in 2025-11-25 2026-07-28; do
  echo "-- conformance $revision, with fixtures"
  rm -rf "${work:?}/$revision"
  conformance "$revision"
  # The suite exits 0 when a scenario that it does not score fails; here none may, and each has run.
  grep -qE '^Total: [1-9][0-9]+ passed, 0 failed' "$work/$revision.log" || failed=1
done
stop_server

echo "-- a build with fixtures does nothing else"
# refuses WORD ARGUMENTS... - it ends with exit status 2 and says WORD; it has not begun to serve
refuses() {
  local word=$1 status=0; shift
  timeout 20 "$fixtures" "$@" </dev/null >"$work/refused" 2>&1 || status=$?
  if [ $status != 2 ] || ! grep -q "$word" "$work/refused" || grep -q 'serving MCP' "$work/refused"; then
    echo "not refused (exit $status): $*"; cat "$work/refused"
    failed=1
  fi
}
cp "$work/config.toml" "$work/token.toml"
printf '[http]\ntoken_file = "tokens"\n' >>"$work/token.toml"
(umask 077; echo conformance-0123456789abcdef0123456789abcdef >"$work/tokens")
printf '[[hosts]]\nname = "web01"\n' >"$work/hosts.toml"
refuses 'not on stdio' --config "$work/config.toml" serve
refuses 'not at 0.0.0.0:0' --config "$work/token.toml" serve --http 0.0.0.0:0
refuses 'not at unix:' --config "$work/config.toml" serve --http "unix:$work/socket"
[ ! -e "$work/socket" ] || { echo "a socket was made"; failed=1; }
refuses 'names hosts' --config "$work/hosts.toml" serve --http 127.0.0.1:0
for other in 'tool list' 'hosts list' doctor 'policy list' 'proposals list' 'approve x'; do
  # shellcheck disable=SC2086 # the words of a command line
  refuses 'so it only serves them' --config "$work/hosts.toml" $other
done
exit $failed
