#!/bin/bash
# k8s-apiserver.sh build|up|kubeconfig TOKEN|down - a real kube-apiserver with etcd, and real kubectls of two versions, for tests of a client of Kubernetes.
#
# No Debian package holds a kube-apiserver, but the source package 'kubernetes' of bookworm is whole, with what it vendors: it is
# built once (some minutes on 2 cores) and kept outside the checkout. etcd and both kubectls (bookworm's 1.20 and trixie's 1.32)
# are unpacked from Debian's packages beside it, not installed: no conflict with a kubectl of this machine, no service started.
# There is no scheduler, controller or kubelet: pods stay as they are made. All listens on 127.0.0.1 only.
#   build             0 s when the cache is whole
#   up                an empty cluster, its administrator's kubeconfig in $LAB_HOME/kube/admin.kubeconfig
#   kubeconfig TOKEN  prints one for that token
#   down              stops both by process id and removes the state; the cache stays
. "$(dirname "$0")/common.sh"
VERSION=1.20.2
CACHE=${LAB_CACHE:-/var/tmp/mcp-linux-infra-cache}/kube-apiserver-$VERSION
STATE=$LAB_HOME/kube
PORT=${LAB_KUBE_PORT:-16443}
MIRROR=${LAB_MIRROR:-http://deb.debian.org/debian}

# debian SUITE COMMAND... - apt-get over that suite alone, with lists of its own: the machine's sources and lists stay as they are
debian() {
  local suite=$1 d=$CACHE.tmp/apt-$1 signed=/usr/share/keyrings/debian-archive-keyring.gpg; shift
  if [ ! -d "$d" ]; then
    mkdir -p "$d"/{lists,cache/archives}/partial
    printf '%s [signed-by=%s] %s %s main\n' deb "$signed" "$MIRROR" "$suite" deb-src "$signed" "$MIRROR" "$suite" > "$d/sources.list"
    debian "$suite" update
  fi
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::SourceList="$d/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root \
    -o Dir::State::Lists="$d/lists" -o Dir::Cache="$d/cache" -o DPkg::Lock::Timeout=300 "$@" >&2
}
# unpacked SUITE PACKAGE - its files beneath ./PACKAGE-SUITE
unpacked() { debian "$1" download "$2/$1"; dpkg -x "$2"_*.deb "$2-$1"; rm -- "$2"_*.deb; }

compile() {
  local reflect=vendor/github.com/modern-go/reflect2
  rm -rf "$CACHE" "$CACHE.tmp"; mkdir -p "$CACHE.tmp/src"; cd "$CACHE.tmp/src"
  debian bookworm install --no-install-recommends golang-go rsync make gcc libc6-dev dpkg-dev curl openssl
  unpacked bookworm etcd-server; cp etcd-server-bookworm/usr/bin/etcd ..
  unpacked bookworm kubernetes-client; cp kubernetes-client-bookworm/usr/bin/kubectl ../kubectl-1.20
  unpacked trixie kubectl; cp kubectl-trixie/usr/bin/kubectl ../kubectl-1.32
  unpacked bookworm golang-github-modern-go-reflect2-dev
  debian bookworm source --download-only kubernetes
  tar xzf kubernetes_*.orig.tar.gz
  cd "kubernetes-$VERSION"
  # The vendored reflect2 1.0.1 walks maps in a way that Go 1.18 and later do not survive; Debian's 1.0.2 does not.
  rm -f $reflect/*.go $reflect/*.s
  cp ../golang-github-modern-go-reflect2-dev-bookworm/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} $reflect/
  # providerless: without what talks to the clouds, the larger half of the compiler's work.
  env GOFLAGS="-mod=vendor -tags=providerless" GOPROXY=off GOCACHE="$CACHE.tmp/src/go-build" GOPATH="$CACHE.tmp/src/go" KUBE_GIT_VERSION="v$VERSION" KUBE_GIT_MAJOR=1 \
    KUBE_GIT_MINOR=20 KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=clean make WHAT=cmd/kube-apiserver >&2
  cp _output/local/bin/linux/*/kube-apiserver "$CACHE.tmp/"
}

build() {
  local stamp started; started=$(ms)
  stamp=$(declare -f compile unpacked debian | cat - <(echo "$VERSION") | sha256sum | cut -c1-16)
  [ "$(cat "$CACHE/stamp" 2>/dev/null)" = "$stamp" ] && return
  say "building kube-apiserver $VERSION: some minutes, once"
  mkdir -p "$(dirname "$CACHE")"
  ( exec 9> "$CACHE.lock"; flock 9; [ "$(cat "$CACHE/stamp" 2>/dev/null)" = "$stamp" ] || {
      compile; "$CACHE.tmp/kube-apiserver" --version >&2; "$CACHE.tmp/etcd" --version >&2
      for k in "$CACHE.tmp"/kubectl-*; do "$k" version --client >&2; done
      chmod -R u+w "$CACHE.tmp"; rm -rf "$CACHE.tmp"/src "$CACHE.tmp"/apt-*; echo "$stamp" > "$CACHE.tmp/stamp"; mv "$CACHE.tmp" "$CACHE"; } )
  say "kube-apiserver built in $(( ($(ms) - started) / 1000 )) s, $(du -sm "$CACHE" | cut -f1) MB in $CACHE"
}

# running NAME - the process that up started, if it is still that
running() { [ -s "$STATE/$1.pid" ] && [ "/proc/$(cat "$STATE/$1.pid")/exe" -ef "$CACHE/$1" ]; }
# start NAME ARGUMENT... - in a session of its own, so that it outlives this script
start() {
  local name=$1 i; shift
  setsid "$CACHE/$name" "$@" > "$STATE/$name.log" 2>&1 < /dev/null & echo $! > "$STATE/$name.pid"
  for i in $(seq 100); do running "$name" && return; sleep .02; done
  tail -n 20 "$STATE/$name.log" >&2; die "$name did not start"
}
stop() {
  local i; running "$1" || return 0
  kill "$(cat "$STATE/$1.pid")"
  for i in $(seq 100); do running "$1" || return 0; sleep .1; done
  say "$1 did not end in 10 s, killing it"; kill -KILL "$(cat "$STATE/$1.pid")"
}
down() { stop kube-apiserver; stop etcd; rm -rf "$STATE"; }

up() {
  local i token etcd=http://127.0.0.1:$((PORT + 1)) peer=http://127.0.0.1:$((PORT + 2))
  build; down; trap down EXIT; umask 077; mkdir -p "$STATE/certs"; cd "$STATE"
  openssl genrsa -out accounts.key 2048 2>/dev/null; openssl rsa -in accounts.key -pubout -out accounts.pub 2>/dev/null
  token=$(openssl rand -hex 16); echo "$token,admin,admin,system:masters" > tokens.csv
  printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n' > audit.yaml
  start etcd --data-dir "$STATE/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
    --initial-cluster "default=$peer"
  start kube-apiserver --etcd-servers="$etcd" --cert-dir="$STATE/certs" --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$PORT" \
    --service-cluster-ip-range=10.96.0.0/24 --service-account-issuer=https://lab --service-account-key-file="$STATE/accounts.pub" \
    --service-account-signing-key-file="$STATE/accounts.key" --token-auth-file="$STATE/tokens.csv" --authorization-mode=RBAC \
    --audit-policy-file="$STATE/audit.yaml" --audit-log-path="$STATE/audit.log" --disable-admission-plugins=ServiceAccount
  for i in $(seq 600); do
    curl -skf "https://127.0.0.1:$PORT/readyz" >/dev/null && break
    running kube-apiserver && running etcd && [ "$i" -lt 600 ] || { tail -n 20 "$STATE"/*.log >&2; die "kube-apiserver is not ready"; }
    sleep .1
  done
  kubeconfig "$token" > admin.kubeconfig
  # The server makes its own namespaces just after it is ready.
  for i in $(seq 100); do KUBECONFIG=admin.kubeconfig "$CACHE/kubectl-1.20" get namespace default kube-node-lease >/dev/null 2>&1 && break; sleep .1; done
  trap - EXIT
  say "kube-apiserver $VERSION on https://127.0.0.1:$PORT, $STATE/admin.kubeconfig"
}

# kubeconfig TOKEN - for the running cluster; its certificate is its own authority
kubeconfig() {
  cat <<X
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:$PORT", certificate-authority-data: $(base64 -w0 "$STATE/certs/apiserver.crt")}}]
users: [{name: lab, user: {token: "$1"}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
X
}

case ${1:-} in
  build) build;;
  up) up;;
  down) down;;
  kubeconfig) kubeconfig "${2:?token}";;
  *) sed -n '2,11p' "$0" >&2; exit 2;;
esac
