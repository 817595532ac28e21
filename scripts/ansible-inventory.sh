#!/usr/bin/env bash
# ansible-inventory.sh [ANSIBLE-INVENTORY] - prints what the real ansible-inventory says of the samples in crates/infra/tests/fixtures/ansible
# into the .json files beside them, which the tests compare with what this program reads. Without an argument it installs ansible-core
# from PyPI into a folder that is removed afterwards (70 MB).
set -euo pipefail
cd "$(dirname "$0")/../crates/infra/tests/fixtures/ansible"
program=${1:-}
if [ -z "$program" ]; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" -q install ansible-core==2.18.6
  program=$dir/venv/bin/ansible-inventory
fi
for sample in sample.ini sample.yaml; do
  "$program" -i "$sample" --list > "$sample.json"
done
git diff --stat -- .
