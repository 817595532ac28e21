#!/bin/bash
# deploy.sh HOST... - makes running lab hosts targets: copies target/dist and runs scripts/install-target.sh as root inside each, with
# keys of its own in $LAB_HOME/keys, and writes the server's config $LAB_HOME/mcp-linux-infra.toml.
. "$(dirname "$0")/common.sh"
TOP=$(cd "$LAB_BIN/.." && pwd)
[ $# -gt 0 ] || die "usage: deploy.sh HOST..."
[ -x "$TOP/target/dist/pra-run" ] || die "target/dist is empty: run scripts/build-target.sh first"
for k in reader runner alice bob mallory; do [ -f "$KEYS/$k" ] || ssh-keygen -q -t ed25519 -N '' -C "$k@lab" -f "$KEYS/$k"; done
{ for p in alice bob; do echo "$p@example.org $(cut -d' ' -f1,2 "$KEYS/$p.pub")"; done; } > "$LAB_HOME/approvers"
config=$LAB_HOME/mcp-linux-infra.toml
printf 'known_hosts = "known_hosts"\napprovers = "approvers"\n\n[defaults]\nreader_key = "keys/reader"\nrunner_key = "keys/runner"\n' > "$config"
for h in "$@"; do
  alive "$h" || die "$h is not up: lab/up.sh"
  in=$RUN/$h/root/root/deploy
  rm -rf "$in"; mkdir -p "$in/dist"
  cp "$TOP"/target/dist/{mcp-wrapper,pra-exec,pra-run} "$in/dist/"
  cp "$TOP/scripts/install-target.sh" "$KEYS/reader.pub" "$KEYS/runner.pub" "$LAB_HOME/approvers" "$in/"
  inside "$h" /bin/bash -c 'cd /root/deploy && ./install-target.sh --programs dist --reader-key reader.pub --runner-key runner.pub --approvers approvers --host "$1" --log-group' _ "$h" >&2
  read -r _ address _ < <(grep "^$h " "$RUN/hosts")
  printf '\n[[hosts]]\nname = "%s"\naddress = "%s"\nhost_key = "%s"\ntags = ["lab"]\n' "$h" "$address" "$(cut -d' ' -f1,2 "$RUN/$h/root/etc/ssh/ssh_host_ed25519_key.pub")" >> "$config"
done
say "deployed to $*; the server's config is $config"
