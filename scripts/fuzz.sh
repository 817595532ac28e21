#!/usr/bin/env bash
# fuzz.sh - builds the fuzz targets and runs them for a bounded time each, coverage-guided, on stable Rust (docs/FUZZING.md).
#   fuzz.sh [TARGET|all] [SECONDS]    default: all 20; as many targets at once as there are processors (FUZZ_JOBS)
# Exit 1 on a finding, whose reproducer is printed: run `fuzz.sh TARGET FILE` on it.
set -uo pipefail
cd "$(dirname "$0")/.."
targets=(lex judge plugin action statement envelope sshsig approvers webauthn session original)
wanted=${1:-all} amount=${2:-20}
case " all ${targets[*]} " in
  *" $wanted "*) ;;
  *) sed -n '2,4p' "$0" | sed 's/^# \{0,1\}//' >&2; echo "targets: ${targets[*]}" >&2; exit 2;;
esac
if [ "$wanted" != all ]; then targets=("$wanted"); fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
machine=$(rustc -vV | sed -n 's/^host: //p')
bin=$CARGO_TARGET_DIR/$machine/release corpus=$PWD/fuzz/corpus artifacts=$PWD/fuzz/artifacts

# What cargo-fuzz passes without a sanitizer: counters for libFuzzer at every edge, and what is compared with what.
# Naming the machine keeps these flags from build scripts.
coverage=(-Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing)
for option in level=4 inline-8bit-counters pc-table trace-compares stack-depth; do
  coverage+=("-Cllvm-args=-sanitizer-coverage-$option")
done
bins=(); for t in "${targets[@]}"; do bins+=(--bin "$t"); done
RUSTFLAGS="${coverage[*]}" cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml --target "$machine" "${bins[@]}" || exit 1

# A file instead of a time: that input alone.
if [ -f "$amount" ]; then exec "$bin/$wanted" "$amount"; fi
case $amount in *[!0-9]*|'') echo "fuzz.sh: $amount is neither a number of seconds nor a file" >&2; exit 2;; esac

# one TARGET - a run; its log is kept, its last state and any finding are printed
one() {
  local target=$1 log=$artifacts/$1.log
  local max=8300  # a bit more than the longest line
  case $target in plugin|action) max=16384;; statement) max=16500;; envelope) max=66000;; session) max=70000;; approvers) max=32768;; esac
  FUZZ_SEEDS=$corpus "$bin/$target" 2>"$log" || { cat "$log"; return 1; }
  "$bin/$target" "$corpus/$target" -dict="$corpus/$target.dict" -max_len=$max -len_control=20 -timeout=10 \
    -rss_limit_mb=1024 -max_total_time="$amount" -print_final_stats=1 -artifact_prefix="$artifacts/$target-" >"$log" 2>&1
  local status=$?
  local first last
  first=$(grep -m1 -E 'INITED|NEW' "$log" | sed -E 's/.*(cov: [0-9]+).*/\1/')
  last=$(grep -E 'cov: ' "$log" | tail -1 | sed -E 's/.*(cov: [0-9]+ ft: [0-9]+ corp: [0-9]+).*/\1/')
  printf '%-10s %s runs, %s -> %s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: //p' "$log")" "$first" "$last"
  if [ $status != 0 ]; then
    echo "FINDING in $target (exit $status):"
    grep -E -A3 "panicked at|ERROR: libFuzzer|Test unit written" "$log" | grep -v '^--' | cut -c1-1000
    echo "log: $log"
    return 1
  fi
}
mkdir -p "$corpus" "$artifacts"
failed=0 running=0 jobs=${FUZZ_JOBS:-$(nproc)}
for target in "${targets[@]}"; do
  if [ "$running" -ge "$jobs" ]; then wait -n || failed=1; running=$((running - 1)); fi
  one "$target" & running=$((running + 1))
done
while [ "$running" -gt 0 ]; do wait -n || failed=1; running=$((running - 1)); done
exit $failed
