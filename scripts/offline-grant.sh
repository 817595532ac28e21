#!/bin/sh
# offline-grant.sh - prints the statement of a recovery action for a host, to sign with ssh-keygen while the server is down.
# Needs nothing but ssh and the reader's key:
#   scripts/offline-grant.sh mcp-reader@HOST ACTION "WHY" [param=value ...] > grant.json
#   (ssh options: set SSH, for example SSH="ssh -i reader.key")
set -eu
[ $# -ge 3 ] || { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
to=$1 action=$2 why=$3
shift 3
facts=$(${SSH:-ssh} "$to" mcp-describe)
# The answer is one line of JSON whose values hold no quotes: a field is cut out by its name.
field() { printf '%s' "$facts" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
machine=$(field machine_id) policy=$(field policy) host=$(field host) tenant=$(field tenant) plan=$(field "$action")
now=$(printf '%s' "$facts" | sed -n 's/.*"now":\([0-9]*\).*/\1/p')
[ -n "$plan" ] || { echo "offline-grant: $to has no action $action" >&2; exit 1; }
case $why in *[\"\\]*) echo "offline-grant: the reason must hold no quotes or backslashes" >&2; exit 2;; esac
params=''
for pair in "$@"; do
  case $pair in *[\"\\]*|[!a-z]*) echo "offline-grant: $pair: expected name=value" >&2; exit 2;; esac
  params="$params${params:+,}\"${pair%%=*}\":\"${pair#*=}\""
done
random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
printf '{"v":1,"proposal":"offline-%s","tenant":"%s","host":"%s","machine_id":"%s","kind":"action","action":"%s","params":{%s},"argv":[],"plan":"%s","policy":"%s","rationale":"%s","proposed_by":"offline","not_before":%s,"expires_at":%s,"nonce":"%s"}\n' \
  "$(random | cut -c1-16)" "$tenant" "$host" "$machine" "$action" "$params" "$plan" "$policy" "$why" "$now" "$((now + 600))" "$(random)"
