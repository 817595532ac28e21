#!/usr/bin/env bash
# mutants.sh - tests the policy crate's tests: cargo-mutants changes the code, and a test must fail (docs/MUTANTS.md).
#   mutants.sh [ARGUMENT OF cargo mutants]...    such as -f form.rs or --re 'in settled'; default: every mutant
# Exit 1 when a mutant survives that docs/MUTANTS.md does not list.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/mutants
mkdir -p "$out"
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0
status=0
cargo mutants -p policy --test-tool nextest --jobs "${MUTANTS_JOBS:-2}" --timeout 60 --no-shuffle \
  --cargo-test-arg=--max-fail=1:immediate --output "$out" "$@" || status=$?
# 2: a mutant survived, 3: one ran into the time limit. Anything else is a failure to run.
case $status in 0|2|3) ;; *) exit "$status";; esac

# By file and name, without the place, which moves with every change.
survived=$(sed -E 's/:[0-9]+:[0-9]+:/:/; s|^crates/policy/src/||' "$out/mutants.out/missed.txt" | sort)
listed=$(sed -n 's/^| `\([^`]*\)` |.*/\1/p' docs/MUTANTS.md | sort)
new=$(comm -23 <(echo "$survived") <(echo "$listed") | sed '/^$/d')
echo "listed and not survived, if they were tried:"
comm -13 <(echo "$survived") <(echo "$listed")
if [ -n "$new" ]; then
  printf 'survived and not listed:\n%s\n' "$new" >&2
  exit 1
fi
