#!/usr/bin/env bash
# Provides Jupyter for the test that executes the notebook, and prints JUPYTER_TEST_PYTHON=PATH, a Python that has
# nbclient and ipykernel. It takes what is there, else, for root on Debian, three packages: about 20 seconds, once.
#
#   .ci/jupyter.sh         everything but that line goes to stderr
#   .ci/jupyter.sh stop    does nothing: nothing runs
set -euo pipefail
exec 3>&1 1>&2

[ "${1:-}" != stop ] || exit 0

# found prints the first Python that can execute a notebook.
found() {
  local python
  for python in "$(command -v python3 || true)" /usr/bin/python3; do
    [ -n "$python" ] || continue
    if "$python" -c 'import ipykernel, nbclient, nbformat' 2>/dev/null; then
      echo "JUPYTER_TEST_PYTHON=$python" >&3
      return
    fi
  done
  return 1
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-nbclient python3-nbformat python3-ipykernel
}

found && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "jupyter.sh: no python3 here has nbclient and ipykernel: install them, or set JUPYTER_TEST_PYTHON to one that has"
  exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "jupyter.sh: installing Jupyter's parts that execute notebooks"
if ! (install_packages) >"$log" 2>&1 </dev/null; then
  echo "jupyter.sh: once more"
  sleep 3
  (install_packages) >"$log" 2>&1 </dev/null || { tail -n 25 "$log"; exit 1; }
fi
found || { echo "jupyter.sh: the packages are there, but Python does not find them"; exit 1; }
