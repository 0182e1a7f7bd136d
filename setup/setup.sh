#!/bin/sh
# Brings a fresh Debian machine to where Calyx runs: apt packages, a Node new enough, npm packages, generated
# code and bundles. Says what it installs; does nothing the second time.
#
#   setup/setup.sh run    what running Calyx and its demo needs
#   setup/setup.sh test   also what the tests talk to (etcd, bird, ...)
set -eu

profile=${1:-run}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "Calyx sets up kernel routes, packet filters and namespaces: please run as root (sudo make ...)"

# --- apt ------------------------------------------------------------------------------------------------------

# A package is wanted only where the program it brings is missing: nobody's own build gets replaced.
missing=""
want() { # want PROGRAM PACKAGE
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
want ip iproute2
want iptables-nft-restore iptables
want ipset ipset
want ping iputils-ping
[ "${DATASTORE:-}" = etcd ] && want etcd etcd-server
if [ "$profile" = test ]; then
  want etcd etcd-server
  want bird bird2
  want vtysh frr
  want gobgpd gobgpd
  want exabgp exabgp
  want pmbmpd pmacct
  want nft nftables
  want conntrack conntrack
  want openssl openssl
fi
node_new_enough() { [ -n "$1" ] && "$1" -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 24 ? 0 : 1)' 2>/dev/null; }
system_node=$(command -v node || true)
command -v npm >/dev/null 2>&1 || missing="$missing npm"

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 || die "missing:$missing; this machine has no apt-get: install them by hand"
  say "apt-get install$missing"
  # Debian starts a service as soon as its package is there; tests start their own, on ports of their own.
  policy=/usr/sbin/policy-rc.d
  made_policy=""
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; made_policy=1
    trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT INT TERM
  fi
  log=$(mktemp)
  # shellcheck disable=SC2086
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } > "$log" 2>&1 \
    || { cat "$log" >&2; rm -f "$log"; die "apt-get failed"; }
  rm -f "$log"
  # Not now and not at the next boot either: we want the programs, not the services.
  if command -v systemctl >/dev/null 2>&1; then
    for service in $missing; do
      case "$service" in
        etcd-server) systemctl disable etcd >/dev/null 2>&1 || true ;;
        bird2) systemctl disable bird >/dev/null 2>&1 || true ;;
        frr | gobgpd | exabgp) systemctl disable "$service" >/dev/null 2>&1 || true ;;
        pmacct) systemctl disable pmacctd nfacctd sfacctd uacctd >/dev/null 2>&1 || true ;;
      esac
    done
  fi
fi

# --- Node -----------------------------------------------------------------------------------------------------

mkdir -p .tools
if ! node_new_enough "$root/.tools/node"; then
  if node_new_enough "$system_node"; then
    ln -sfn "$system_node" .tools/node
    say "using $system_node ($("$system_node" --version))"
  else
    wanted=$(sed -n 's/.*"node": "\([^"]*\)".*/\1/p' setup/node/package.json)
    say "npm: node@$wanted into setup/node (the system's is ${system_node:+$("$system_node" --version)}${system_node:-missing}; Calyx needs 24)"
    npm ci --prefix setup/node --no-audit --no-fund --loglevel=error || die "npm could not install node@$wanted"
    ln -sfn ../setup/node/node_modules/node/bin/node .tools/node
  fi
fi
node_new_enough "$root/.tools/node" || die "no Node >= 24 could be set up"
PATH="$root/.tools:$PATH"
export PATH

# --- npm, generated code, bundles -----------------------------------------------------------------------------

if ! cmp -s package-lock.json .tools/installed-lock.json || [ ! -d node_modules ]; then
  say "npm ci ($(grep -c '"node_modules/' package-lock.json) packages in package-lock.json)"
  npm ci --no-audit --no-fund --loglevel=error || die "npm ci failed"
  cp package-lock.json .tools/installed-lock.json
fi
node crd-schemas/generate/main.ts
node setup/bundle.ts
