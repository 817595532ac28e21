#!/usr/bin/env bash
# build-target.sh - builds the three static programs for targets into target/dist/.
# Static on the gnu target (no musl needed): they run on any distribution with a kernel from 5.13 on.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-target}
# The same source gives the same bytes wherever it lies and whoever builds it.
home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs --remap-path-prefix=$PWD=/src --remap-path-prefix=$home=/cargo"
cargo build --locked --profile dist --target "$triple" -p target --bins
mkdir -p target/dist
for program in mcp-wrapper pra-exec pra-run; do
  install -m 755 "$target_dir/$triple/dist/$program" target/dist/
  size=$(stat -c %s "target/dist/$program")
  if readelf -d "target/dist/$program" 2>/dev/null | grep -q NEEDED; then
    echo "build-target: $program is not static" >&2; exit 1
  fi
  if [ "$size" -gt $((5 << 19)) ]; then
    echo "build-target: $program has $size bytes, more than 2.5 MiB" >&2; exit 1
  fi
  echo "target/dist/$program  $size bytes, static"
done
