#!/usr/bin/env bash
# browser.sh - the dashboard in Debian's Chromium with a virtual passkey, against the running lab's host t1 and the debug build; then
# login with OpenBao as OIDC provider, which lab/openbao.sh starts and this stops.
# UPDATE_DOCS=1 keeps the pictures in docs/images. Installs chromium if it is missing; pinned packages go to target/browser.
set -euo pipefail
cd "$(dirname "$0")/.."
. lab/common.sh
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/browser
export PROGRAM=$target/debug/mcp-linux-infra HOST=t1 LAB=$PWD/lab
[ -x "$PROGRAM" ] || { echo "browser.sh: $PROGRAM is missing: cargo build -p mcp-linux-infra" >&2; exit 2; }
alive "$HOST" || { echo "browser.sh: the lab is not up: lab/up.sh 2 && lab/deploy.sh t1 t2" >&2; exit 2; }
command -v npm >/dev/null || { echo "browser.sh: npm is missing: apt-get install npm" >&2; exit 2; }
if ! command -v chromium >/dev/null; then
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }
fi
pins=(node@22.23.3 playwright-core@1.64.1 axe-core@4.14.1 @modelcontextprotocol/sdk@1.32.2)
if [ "$(cat "$tools/pins" 2>/dev/null)" != "${pins[*]}" ]; then
  npm install --prefix "$tools" --no-audit --no-fund --loglevel=error "${pins[@]}"
  printf '%s' "${pins[*]}" >"$tools/pins"
fi

work=$(mktemp -d)
etc=/etc/mcp-linux-infra
kept=$work/kept
mkdir "$kept"
cp "$RUN/$HOST/root$etc"/{approvers,target.toml} "$kept/"
finish() {
  lab/openbao.sh down
  for file in approvers target.toml; do inside "$HOST" /bin/sh -c "cat > $etc/$file" <"$kept/$file"; done
  rm -rf "$work"
}
trap finish EXIT
# The target takes passkeys of this dashboard, and two persons for one of the actions.
{
  cat "$kept/target.toml"
  printf '\n[approval]\nrp_id = "localhost"\norigins = ["http://localhost:8090"]\n\n[approval.actions.flush_dns_cache]\nmin = 2\n'
} | inside "$HOST" /bin/sh -c "cat > $etc/target.toml"
export CONFIG=$work/config.toml STATE=$work/state/mcp-linux-infra APPROVERS=$work/approvers XDG_STATE_HOME=$work/state
sed -e "s|^known_hosts = .*|known_hosts = \"$LAB_HOME/known_hosts\"|" -e "s|^approvers = .*|approvers = \"$APPROVERS\"|" \
  -e "s|\"keys/|\"$KEYS/|" "$LAB_HOME/mcp-linux-infra.toml" >"$CONFIG"
: >"$APPROVERS"
export AXE=$tools/node_modules/axe-core/axe.min.js SHOTS=${UPDATE_DOCS:+$PWD/docs/images}
# A module is looked for beside the script that names it.
cp tests/browser/*.mjs "$tools/"
node() { ip netns exec "$LAB_NAME-ctl" "$tools/node_modules/node/bin/node" --disable-warning=ExperimentalWarning "$tools/$1"; }
node dashboard.mjs

lab/openbao.sh up
. "$LAB_HOME/openbao/env"
cat >>"$CONFIG" <<X

[dashboard.oidc]
issuer = "$ISSUER"
client_id = "$CLIENT_ID"
client_secret_file = "$LAB_HOME/openbao/secret"
scopes = ["email", "groups"]
label = "OpenBao"

[[dashboard.oidc.person]]
subject = "$ALICE"
person = "alice@example.org"
role = "approver"

[[dashboard.oidc.group]]
group = "on-call"
role = "operator"
X
export PROVIDER STATE=$work/sso/mcp-linux-infra XDG_STATE_HOME=$work/sso
node sso.mjs
