#!/usr/bin/env bash
# Installs Debian packages for the tests, quietly: needs apt-get and root. It tries twice, for mirrors have bad moments.
#
#   .ci/debian.sh PACKAGE…        everything goes to stderr
set -euo pipefail
exec 1>&2

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "debian.sh: install $* yourself: only root on Debian gets it from here"
  exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
install() { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }
echo "debian.sh: installing $*"
install "$@" >"$log" 2>&1 </dev/null && exit
echo "debian.sh: once more"
sleep 3
install "$@" >"$log" 2>&1 </dev/null || { tail -n 25 "$log"; exit 1; }
