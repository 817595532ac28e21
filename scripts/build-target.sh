#!/usr/bin/env bash
# build-target.sh - builds the three static programs for targets into target/dist/.
# Static on the gnu target (no musl needed): they run on any distribution with a kernel from 5.13 on.
#   build-target.sh                       build
#   build-target.sh --check-reproducible  build here and in a folder with another path; the bytes must be the same
set -euo pipefail
cd "$(dirname "$0")/.."
programs=(mcp-wrapper pra-exec pra-run)
most=$((2 << 20))
triple=$(rustc -vV | sed -n 's/^host: //p')
home=${CARGO_HOME:-$HOME/.cargo}

# The list of crates is built in: `cargo audit bin` and scanners read it from the program itself.
if ! PATH="$PATH:$home/bin" command -v cargo-auditable > /dev/null; then
  cargo install --quiet --locked cargo-auditable@0.7.7
fi
export PATH="$PATH:$home/bin"

# build ROOT TARGET_DIR: the same source gives the same bytes wherever it lies and whoever builds it.
build() {
  local flags=(
    -C target-feature=+crt-static
    -C link-arg=-Wl,-z,pack-relative-relocs
    # They end at a panic: nothing is ever unwound, and what only unwinding looks at is left out.
    -C force-unwind-tables=no
    -C link-arg=-Wl,--no-eh-frame-hdr
    -C link-arg=-Wl,-T,crates/target/link.ld
    # What many functions have in common stands once.
    -C llvm-args=-enable-machine-outliner=always
    "--remap-path-prefix=$1=/src" "--remap-path-prefix=$home=/cargo"
  )
  (cd "$1" && MCP_COMPACT_CATALOGUE=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR="$2" \
    cargo auditable build --locked --profile dist --target "$triple" -p target --bins)
}

# What the program says it is built from, read back out of it: every crate that is linked, in its version.
audit() {
  local list=$work/dep-v0
  objcopy --dump-section ".dep-v0=$list" "$1" /dev/null
  python3 - "$1" "$list" "$work/linked" << 'X'
import json, sys, zlib
program, list_, linked = sys.argv[1:]
with open(list_, "rb") as data:
    said = {(p["name"], p["version"]) for p in json.loads(zlib.decompress(data.read()))["packages"]}
with open(linked) as lines:
    linked = {(name, version[1:]) for name, version, *_ in (line.split() for line in lines if line.strip())}
if not {"target", "policy", "ring"} <= {name for name, _ in linked} or linked - said:
    sys.exit(f"build-target: {program} does not say that it is built from {linked - said or linked}")
X
}

check() {
  local program=$1 size
  size=$(stat -c %s "$program")
  if readelf -d "$program" 2> /dev/null | grep NEEDED > /dev/null || readelf -lW "$program" | grep INTERP > /dev/null; then
    echo "build-target: $program is not static" >&2; exit 1
  fi
  if readelf -SW "$program" | grep -E ' \.(symtab|debug_)' > /dev/null; then
    echo "build-target: $program is not stripped" >&2; exit 1
  fi
  audit "$program" || exit 1
  if [ "$size" -gt "$most" ]; then
    echo "build-target: $program has $size bytes, more than $most" >&2; exit 1
  fi
  echo "$program  $size bytes, static, stripped, auditable"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo tree --locked --target "$triple" -p target -e normal,no-proc-macro --prefix none --format '{p}' > "$work/linked"
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
build "$PWD" "$target_dir"
mkdir -p target/dist
for program in "${programs[@]}"; do
  install -m 755 "$target_dir/$triple/dist/$program" target/dist/
  check "target/dist/$program"
done

if [ "${1:-}" = --check-reproducible ]; then
  mkdir -p "$work/elsewhere/source"
  tar -c --exclude=./target --exclude=./.git . | tar -x -C "$work/elsewhere/source"
  build "$work/elsewhere/source" "$work/elsewhere/built"
  same=0
  for program in "${programs[@]}"; do
    here=$(sha256sum < "target/dist/$program") there=$(sha256sum < "$work/elsewhere/built/$triple/dist/$program")
    echo "$program  here ${here%% *}  elsewhere ${there%% *}"
    [ "$here" = "$there" ] || same=1
  done
  [ "$same" = 0 ] || { echo "build-target: the builds differ" >&2; exit 1; }
  echo "build-target: both builds gave the same bytes"
fi
