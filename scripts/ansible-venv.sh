#!/usr/bin/env bash
# ansible-venv.sh - the pinned Ansible in target/ansible-venv (70 MB, kept), for the tests of the role; prints the folder of its programs.
set -euo pipefail
cd "$(dirname "$0")/.."
version=2.18.6
venv=${CARGO_TARGET_DIR:-$PWD/target}/ansible-venv
if [ "$(cat "$venv/complete" 2>/dev/null)" != "$version" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" -q install --disable-pip-version-check "ansible-core==$version"
  echo "$version" > "$venv/complete"
fi
echo "$venv/bin"
