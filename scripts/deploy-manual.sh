#!/bin/bash
# deploy-manual.sh - makes a host a target without mcp-linux-infra: what `mcp-linux-infra deploy` does, by your own ssh and sudo.
#
#   scripts/deploy-manual.sh [USER@]HOST --reader-key FILE --runner-key FILE --approvers FILE [options]
#
#   --reader-key, --runner-key   the accounts' keys, private or .pub; with the private ones both logins are tried at the end
#   --programs DIR               mcp-wrapper, pra-exec and pra-run (default: target/dist, which scripts/build-target.sh makes)
#   --ssh "OPTIONS"              for ssh, as "-p 2222 -J gate" or "-F FILE"
#   --name, --tenant, --log-group, --prefix, --from, --expires, --check   as install-target.sh has them (--name is its --host)
#
# The host's key must be known to ssh already. sudo may ask for a password: it then does so on your terminal.
set -euo pipefail
TOP=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "deploy-manual: $*" >&2; exit 1; }
usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
[ $# -gt 0 ] || usage
target=$1 reader='' runner='' approvers='' programs=$TOP/target/dist ssh_options='' check=0 arguments=(); shift
case $target in ''|-*) usage;; esac
while [ $# -gt 0 ]; do
  case $1 in
    --check|--log-group) arguments+=("$1"); if [ "$1" = --check ]; then check=1; fi; shift; continue;;
  esac
  [ $# -ge 2 ] || usage
  case $1 in
    --reader-key) reader=$2;; --runner-key) runner=$2;; --approvers) approvers=$2;; --programs) programs=$2;; --ssh) ssh_options=$2;;
    --name) arguments+=(--host "$2");; --tenant|--prefix|--from|--expires) arguments+=("$1" "$2");;
    *) usage;;
  esac
  shift 2
done
for f in "$reader" "$runner" "$approvers"; do [ -s "$f" ] || die "--reader-key, --runner-key and --approvers are needed; '$f' is none"; done
for word in "${arguments[@]}"; do case $word in *[!A-Za-z0-9._:,/=-]*|'') die "$word: letters, digits and . _ : , / = - only";; esac; done
read -ra options <<<"$ssh_options"

# --- one folder with everything, sent as an archive; what runs there is one constant line ---
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
public() { if [[ $1 == *.pub ]]; then cut -d' ' -f1,2 "$1"; else ssh-keygen -yf "$1"; fi; }
public "$reader" > "$dir/reader.pub"; public "$runner" > "$dir/runner.pub"; cp "$approvers" "$dir/approvers"
cp "$TOP/scripts/install-target.sh" "$dir/"
if [[ " ${arguments[*]} " != *" --prefix /usr "* ]]; then
  mkdir "$dir/programs"
  cp "$programs"/{mcp-wrapper,pra-exec,pra-run} "$dir/programs/" || die "--programs $programs: scripts/build-target.sh makes them"
  arguments+=(--programs programs)
fi
printf '%s\n' --reader-key reader.pub --runner-key runner.pub --approvers approvers "${arguments[@]}" > "$dir/arguments"
remote='set -eu; d=$1; cd "$d"; mapfile -t a < arguments; /bin/bash install-target.sh "${a[@]}"'
there=$(tar -C "$dir" -c . | ssh "${options[@]}" -- "$target" 'd=$(mktemp -d) && tar -x -C "$d" -f - && echo "$d"')
case $there in /*[!A-Za-z0-9/._-]*|[!/]*|'') die "the host named no folder: $there";; esac
tty=(); if [ -t 0 ]; then tty=(-t); fi
code=0
ssh "${tty[@]}" "${options[@]}" -- "$target" "sudo /bin/bash -c '$remote' _ $there" || code=$?
ssh "${options[@]}" -- "$target" "rm -rf $there" || echo "deploy-manual: $there is left on the host" >&2
[ $code = 0 ] || exit $code

# --- both logins, each with a line for a shell that must be refused by the account's own program ---
login() {  # login USER KEY PROGRAM
  local said
  if [[ $2 == *.pub ]]; then echo "deploy-manual: $1: no private key here, login not tried"; return; fi
  said=$(ssh "${options[@]}" -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityFile=none -i "$2" -l "$1" -- "${target#*@}" 'true; true' 2>&1 </dev/null) && code=0 || code=$?
  [[ $code = 126 && $said == *"$3: blocked"* ]] || die "$1 does not log in as it should: exit $code $said"
  echo "deploy-manual: $1 logs in, and $3 refuses a line for a shell"
}
if [ $check = 0 ]; then login mcp-reader "$reader" mcp-wrapper; login pra-runner "$runner" pra-exec; fi
