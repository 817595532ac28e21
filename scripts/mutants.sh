#!/bin/sh
# Mutation testing of the policy crate. Fails when a mutant survives that docs/MUTANTS.md does not list, or when one that it
# lists survives no more. Needs cargo-mutants and cargo-nextest.
# Usage: scripts/mutants.sh [DIR [ARGUMENT OF cargo mutants]...]
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/mutants}
[ $# -eq 0 ] || shift
mkdir -p "$out"
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0
# 2 is a survivor, 3 a timeout; both are looked at below.
cargo mutants -p policy --test-tool nextest -j2 --timeout 60 --no-shuffle \
    --cargo-test-arg=--max-fail=1:immediate -o "$out" "$@" || [ $? -eq 2 ] || [ $? -eq 3 ]

# Without their places, which move with every change.
sed 's/:[0-9]*:[0-9]*:/:/; s|^crates/policy/src/||' "$out/mutants.out/missed.txt" | sort >"$out/survived"
sed -n 's/^| `\([^`]*\)` |.*/\1/p' docs/MUTANTS.md | sort >"$out/listed"
echo "listed and caught or not tried:"
comm -13 "$out/survived" "$out/listed"
echo "survived and not listed:"
comm -23 "$out/survived" "$out/listed" | tee "$out/new"
[ ! -s "$out/new" ]
