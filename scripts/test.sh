#!/usr/bin/env bash
# test.sh - the whole test suite, as root on Debian 12: installs what it needs, then format, lints, licences, unit and integration
# tests, docs, the target programs, and the end-to-end tests on real hosts that it starts itself. Ends with `N passed, N failed`.
#   --no-lab   leave the end-to-end tests out (no root, or not Debian); says so loudly
set -uo pipefail
cd "$(dirname "$0")/.."
lab=1
case ${1:-} in
  '') ;;
  --no-lab) lab=0;;
  *) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2;;
esac
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} LAB_DIRECT=2
passed=0 failed=0 started=$SECONDS
log=$(mktemp)
finish() {
  if [ $lab = 1 ]; then
    lab/k8s-apiserver.sh down >/dev/null 2>&1
    lab/openbao.sh down >/dev/null 2>&1
    LAB_FAST=1 lab/down.sh >/dev/null 2>&1
  fi
  rm -f "$log"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
# step NAME COMMAND... - one check that passes or fails as a whole
step() {
  local name=$1; shift
  say "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name"; fi
}
# tests NAME COMMAND... - a nextest run, whose own counts are added
tests() {
  local name=$1 summary p f; shift
  say "$name"
  "$@" 2>&1 | tee "$log"
  summary=$(grep -E '^ *Summary \[' "$log" | tail -1)
  p=$(sed -nE 's/.* ([0-9]+) passed.*/\1/p' <<<"$summary"); f=$(sed -nE 's/.* ([0-9]+) failed.*/\1/p' <<<"$summary")
  if [ -z "$summary" ]; then failed=$((failed + 1)); echo "FAILED: $name did not run"; return; fi
  passed=$((passed + ${p:-0})); failed=$((failed + ${f:-0}))
  if grep -qE '[0-9]+ timed out' <<<"$summary"; then failed=$((failed + 1)); fi
}

# --- what the tests need ---
install_tools() {
  local need=() c
  for c in cc:build-essential ssh-keygen:openssh-client sshd:openssh-server sudo:sudo python3:python3 ip:iproute2 git:git \
    openssl:openssl curl:curl objcopy:binutils npm:npm; do
    PATH=$PATH:/usr/sbin command -v "${c%%:*}" >/dev/null || need+=("${c##*:}")
  done
  if [ ${#need[@]} -gt 0 ]; then
    echo "installing ${need[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null || return 1
  fi
  python3 -c 'import ensurepip' 2>/dev/null || apt-get install -y -qq --no-install-recommends python3-venv >/dev/null || return 1
  command -v cargo-nextest >/dev/null || cargo install --locked --quiet cargo-nextest || return 1
  command -v cargo-auditable >/dev/null || cargo install --locked --quiet cargo-auditable@0.7.7 || return 1
  command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny || return 1
}
step "tools" install_tools

step "format" cargo fmt --all --check
step "lints" cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
step "lints of the conformance fixtures" cargo clippy --locked --quiet --workspace --exclude e2e --example conformance-fixtures \
  --features mcp-linux-infra/conformance-fixtures -- -D warnings
# The advisory database is no package of a registry: the advisories job of .github/workflows/ci.yml looks it up.
step "licences, bans, sources (cargo deny)" cargo deny --log-level error check bans licenses sources
tests "unit and integration tests" cargo nextest run --locked --workspace --exclude e2e --no-fail-fast
step "doc tests" cargo test --locked --quiet --doc --workspace
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps
step "target programs, built twice: the same bytes" scripts/build-target.sh --check-reproducible
step "fuzzing, 15 s per target" scripts/fuzz.sh all 15
step "fuzz lints" cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir "$CARGO_TARGET_DIR/fuzz" -- -D warnings
# Needs the debug program that the integration tests have built.
step "MCP conformance, both revisions, as it is and with fixtures" scripts/conformance.sh
step "MCP clients: TypeScript and Python SDKs, both eras" scripts/clients.sh
# With a real sshd where there is one; the embedded server is for machines that have none.
demo() { "$CARGO_TARGET_DIR/debug/mcp-linux-infra" demo | tee "$log" && grep -q 'a real sshd, with forced commands' "$log"; }
step "demo" demo

if [ $lab = 1 ]; then
  lab_up() { lab/down.sh >/dev/null 2>&1; lab/up.sh 2 && lab/deploy.sh t1 t2; }
  step "lab: real Debian hosts with systemd" lab_up
  # The server's program is the one that the integration tests have built: to build the package alone takes other features of its
  # dependencies, and two minutes.
  tests "end-to-end tests" cargo nextest run --locked -p e2e --no-fail-fast -E 'not (binary(kubernetes) or binary(keys) or binary(ansible))'
  step "dashboard in Chromium, with passkeys" scripts/browser.sh
  step "kube-apiserver (built once, cached)" lab/k8s-apiserver.sh build
  step "kube-apiserver up" lab/k8s-apiserver.sh up
  tests "kubectl against a real API server" cargo nextest run --locked -p e2e --test kubernetes --no-fail-fast
  step "kube-apiserver down" lab/k8s-apiserver.sh down
  five_up() { LAB_DIRECT=5 lab/up.sh 5 && lab/deploy.sh t1 t2 t3 t4 t5; }
  step "lab: five hosts" five_up
  tests "keys: rotation, revocation, deployment, audit" cargo nextest run --locked -p e2e --test keys --no-fail-fast
  # The role makes its targets itself: from hosts as they are after their installation.
  lab_bare() { LAB_FAST=1 lab/down.sh && LAB_DIRECT=5 lab/up.sh 5; }
  step "lab: bare hosts" lab_bare
  step "ansible-core, pinned" scripts/ansible-venv.sh
  tests "Ansible: from a bare host to a target, attacked, rotated, revoked, and back" \
    env LAB_DIRECT=5 cargo nextest run --locked -p e2e --test ansible -j 3 --no-fail-fast
  # Last: these take the lab down for a clean host of their own.
  step "packages: install, upgrade, remove, purge on a clean host" scripts/test-packages.sh
  step "README's quick start, to the letter, on a clean host" scripts/quick-start.sh
else
  say "SKIPPED: the end-to-end tests (--no-lab)"
fi
say "done"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
