#!/bin/sh
# offline-grant.sh - prints the statement of a recovery action for a host, to sign with ssh-keygen while the server is down.
# Needs nothing but ssh and the reader's key:
#   scripts/offline-grant.sh mcp-reader@HOST ACTION "WHY" [param=value ...] > grant.json
#   scripts/offline-grant.sh mcp-reader@HOST --break-glass "REASON" ACTION "WHY" [param=value ...] > grant.json
#   scripts/offline-grant.sh mcp-reader@HOST --review PROPOSAL ACTION "WHAT WAS FOUND" > review.json
#   scripts/offline-grant.sh mcp-reader@HOST --deny PROPOSAL "WHY" > deny.json
#   (ssh options: set SSH, for example SSH="ssh -i reader.key")
set -eu
usage() { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
refuse() { echo "offline-grant: $1" >&2; exit 2; }
# Nothing that would end a JSON string, or is more than one line, gets into one.
text() { case $2 in *[\"\\]*|*[[:cntrl:]]*) refuse "$1 must hold no quotes, backslashes or control characters";; esac; }
name() { case $2 in ''|*[!A-Za-z0-9._-]*) refuse "$2: $1 is letters, digits, dots, underscores and hyphens";; esac; }
[ $# -ge 3 ] || usage
to=$1 kind=action glass='' action='' proposal=''
shift
case $1 in
  --break-glass)
    [ $# -ge 4 ] || usage
    text 'the reason to break the glass' "$2"
    glass=",\"break_glass\":\"$2\""
    shift 2;;
  --review) [ $# -eq 4 ] || usage; kind=review proposal=$2; shift 2;;
  --deny) [ $# -eq 3 ] || usage; kind=deny proposal=$2; shift 2;;
  --*) usage;;
esac
[ "$kind" = deny ] || { action=$1; name 'an action' "$action"; shift; }
why=$1
shift
text 'the reason' "$why"
[ "$kind" = action ] || name 'a proposal' "$proposal"
facts=$(${SSH:-ssh} "$to" mcp-describe)
# The answer is one line of JSON whose values hold no quotes: a field is cut out by its name.
field() { printf '%s' "$facts" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
machine=$(field machine_id) host=$(field host) tenant=$(field tenant) plan='' policy=''
now=$(printf '%s' "$facts" | sed -n 's/.*"now":\([0-9]*\).*/\1/p')
random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
params=''
if [ "$kind" = action ]; then
  plan=$(field "$action") policy=$(field policy) proposal=offline-$(random | cut -c1-16)
  [ -n "$plan" ] || { echo "offline-grant: $to has no action $action" >&2; exit 1; }
  for pair in "$@"; do
    case $pair in [!a-z]*) refuse "$pair: expected name=value";; *=*) text "$pair" "$pair";; *) refuse "$pair: expected name=value";; esac
    params="$params${params:+,}\"${pair%%=*}\":\"${pair#*=}\""
  done
fi
printf '{"v":1,"proposal":"%s","tenant":"%s","host":"%s","machine_id":"%s","kind":"%s","action":"%s","params":{%s},"argv":[],"plan":"%s","policy":"%s","rationale":"%s","proposed_by":"offline","not_before":%s,"expires_at":%s,"nonce":"%s"%s}\n' \
  "$proposal" "$tenant" "$host" "$machine" "$kind" "$action" "$params" "$plan" "$policy" "$why" "$now" "$((now + 600))" "$(random)" "$glass"
