#!/usr/bin/env bash
# build-packages.sh - builds the Debian and RPM packages mcp-linux-infra and mcp-linux-infra-target into target/packages/.
# Needs: dpkg-dev, rpm, python3. The same sources and the same programs give the same bytes (SOURCE_DATE_EPOCH, else the last commit's date).
#   --debug       with target/debug/mcp-linux-infra as it is, and weak compression: for tests
#   --version V   Debian version and revision, instead of those of packaging/debian/changelog
#   --out DIR     another folder than target/packages
set -euo pipefail
cd "$(dirname "$0")/.."
debug=0 version='' out=target/packages
while [ $# -gt 0 ]; do
  case $1 in
    --debug) debug=1; shift;;
    --version) version=${2:?}; shift 2;;
    --out) out=${2:?}; shift 2;;
    *) sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2;;
  esac
done
umask 022
export LC_ALL=C
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
version=${version:-$(sed -nE '1s/.*\(([^)]*)\).*/\1/p' packaging/debian/changelog)}
crate=$(sed -nE 's/^version = "(.*)"$/\1/p' Cargo.toml | head -1)
[[ $version =~ ^$crate[A-Za-z0-9.+~]*-[A-Za-z0-9.+~]+$ ]] || { echo "build-packages: version $version is not one of $crate, with a revision" >&2; exit 2; }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -d "$(sed -n 's/^ -- .*>  //p' packaging/debian/changelog | head -1)" +%s)}
export SOURCE_DATE_EPOCH
triple=$(rustc -vV | sed -n 's/^host: //p')
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# --- programs ---
if [ $debug = 1 ]; then
  server=$target_dir/debug/mcp-linux-infra compress=(-Zgzip -z1) payload=w1.gzdio
  [ -x "$server" ] || { echo "build-packages: $server is not there: cargo build" >&2; exit 1; }
  [ -x target/dist/pra-run ] || scripts/build-target.sh
else
  server=$target_dir/release/mcp-linux-infra compress=(-Zxz) payload=w6.xzdio
  scripts/build-target.sh
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin RUSTFLAGS="--remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
    cargo auditable build --locked --release -p mcp-linux-infra
fi

# --- what both formats hold: one tree for each package ---
stage() { install -D -m "$1" "$2" "$work/$3"; }                       # stage MODE FILE PLACE
zipped() { install -d "$(dirname "$work/$2")"; gzip -9nc "$1" > "$work/$2"; chmod 644 "$work/$2"; }   # zipped FILE PLACE
common() {  # common TREE PACKAGE CRATE OVERRIDES
  stage 644 packaging/copyright "$1/usr/share/doc/$2/copyright"
  packaging/third-party.py "$3" "$triple" > "$work/third-party"
  zipped "$work/third-party" "$1/usr/share/doc/$2/third-party.gz"
  sed "1s/([^)]*)/($version)/" packaging/debian/changelog > "$work/changelog"
  zipped "$work/changelog" "$1/usr/share/doc/$2/changelog.Debian.gz"
  zipped CHANGELOG.md "$1/usr/share/doc/$2/changelog.gz"
}
stage 755 "$server" server/usr/bin/mcp-linux-infra
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$work/server/usr/bin/mcp-linux-infra"
stage 644 packaging/server/mcp-linux-infra.service server/usr/lib/systemd/system/mcp-linux-infra.service
stage 644 packaging/server/sysusers.conf server/usr/lib/sysusers.d/mcp-linux-infra.conf
stage 644 packaging/server/tmpfiles.conf server/usr/lib/tmpfiles.d/mcp-linux-infra.conf
stage 644 packaging/server/config.toml server/etc/mcp-linux-infra-server/config.toml
stage 644 packaging/server/server.env server/etc/mcp-linux-infra-server/server.env
"$server" man --out "$work/man" > /dev/null
for page in "$work"/man/*.1; do zipped "$page" "server/usr/share/man/man1/$(basename "$page").gz"; done
for shell in bash:bash-completion/completions/mcp-linux-infra fish:fish/vendor_completions.d/mcp-linux-infra.fish zsh:zsh/vendor-completions/_mcp-linux-infra; do
  "$server" completions "${shell%%:*}" > "$work/completion"
  stage 644 "$work/completion" "server/usr/share/${shell#*:}"
done
for page in README.md SECURITY.md docs/{CATALOGUE,CLIENTS,CONFIG,DEPLOY,INIT,KEY-ROTATION,MCP,PACKAGES,PLUGINS,TARGET,TOOLS}.md; do zipped "$page" "server/usr/share/doc/mcp-linux-infra/$(basename "$page").gz"; done
for program in mcp-wrapper pra-exec pra-run; do stage 755 "target/dist/$program" "server/usr/lib/mcp-linux-infra/target/$program"; done   # what `deploy` sends
common server mcp-linux-infra mcp-linux-infra

for program in bin/mcp-wrapper bin/pra-exec sbin/pra-run; do stage 755 "target/dist/${program#*/}" "target/usr/$program"; done
stage 755 scripts/install-target.sh target/usr/lib/mcp-linux-infra/install-target.sh
stage 755 packaging/target/setup-target target/usr/sbin/mcp-linux-infra-setup-target
for page in packaging/man/*; do zipped "$page" "target/usr/share/man/man${page##*.}/$(basename "$page").gz"; done
for page in docs/{ACTIONS,PLUGINS,SANDBOX,TARGET}.md docs/kubernetes-{reader,runner}.yaml; do zipped "$page" "target/usr/share/doc/mcp-linux-infra-target/$(basename "$page").gz"; done
common target mcp-linux-infra-target target

# --- Debian ---
shlibs() {  # the libraries that the server is linked to, as dependencies
  mkdir -p "$work/shlibs/debian"; printf 'Source: mcp-linux-infra\n\nPackage: mcp-linux-infra\nArchitecture: any\n' > "$work/shlibs/debian/control"
  (cd "$work/shlibs" && dpkg-shlibdeps -O -e"$work/server/usr/bin/mcp-linux-infra" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}
takes_back() {  # what --uninstall of the setup command needs, and nothing else of it
  # shellcheck disable=SC1090
  bash -c 'source <(sed "\$d" scripts/install-target.sh); prefix=/usr
    declare -p prefix ETC KEYS SSHD SUDOERS SYSCTL LOGROTATE LIB LOG LOCK; declare -f die say reload_sshd end_sessions packaged tidy uninstall'
}
deb() {  # deb TREE PACKAGE
  local tree=$work/deb/$1 file
  mkdir -p "$work/deb"; cp -a "$work/$1" "$tree"
  install -D -m 644 "packaging/debian/$1/lintian-overrides" "$tree/usr/share/lintian/overrides/$2"
  install -d "$tree/DEBIAN"
  (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) > "$tree/DEBIAN/md5sums"
  sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)/; s/@SHLIBS@/$(shlibs)/" \
    "packaging/debian/$1/control" > "$tree/DEBIAN/control"
  for file in postinst prerm postrm; do
    if [ -f "packaging/debian/$1/$file" ]; then install -m 755 "packaging/debian/$1/$file" "$tree/DEBIAN/"; fi
  done
  if [ "$1" = target ]; then
    { cat packaging/debian/target/postrm.head; takes_back; cat packaging/debian/target/postrm.tail; } > "$tree/DEBIAN/postrm"
    chmod 755 "$tree/DEBIAN/postrm"
  fi
  if [ -f "packaging/debian/$1/conffiles" ]; then install -m 644 "packaging/debian/$1/conffiles" "$tree/DEBIAN/"; fi
  dpkg-deb --root-owner-group "${compress[@]}" --build "$tree" "$out/$2_${version}_$arch.deb" > /dev/null
  echo "$out/$2_${version}_$arch.deb"
}
deb server mcp-linux-infra
deb target mcp-linux-infra-target

# --- RPM ---
install -d "$work/server/usr/share/zsh/site-functions"
mv "$work/server/usr/share/zsh/vendor-completions/_mcp-linux-infra" "$work/server/usr/share/zsh/site-functions/"
rmdir "$work/server/usr/share/zsh/vendor-completions"
rm "$work"/*/usr/share/doc/*/changelog.Debian.gz
for tree in server target; do
  (cd "$work/$tree" && find . -type f -printf '/%P\n' | sort | sed 's|^/etc/|%config(noreplace) /etc/|') > "$work/$tree.list"
done
rpmbuild --quiet -bb --define "_topdir $work/rpm" --define "_rpmdir $work/rpms" --define "stage $work" --define "upstream ${version%-*}" --define "revision ${version##*-}" \
  --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' --define '_buildhost localhost' \
  --define "_binary_payload $payload" packaging/rpm/mcp-linux-infra.spec
for file in "$work"/rpms/*/*.rpm; do install -m 644 "$file" "$out/"; echo "$out/$(basename "$file")"; done
