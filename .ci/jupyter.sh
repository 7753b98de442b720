#!/usr/bin/env bash
# Provides Jupyter for the test that executes the notebook, and prints JUPYTER_TEST_PYTHON=PATH, a Python that has
# nbclient, ipykernel and pip. It takes what is there, else, for root on Debian, four packages: about 20 seconds, once.
# Everything but that line goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

# found prints the first Python that can execute a notebook.
found() {
  local python
  for python in "$(command -v python3 || true)" /usr/bin/python3; do
    if [ -n "$python" ] && "$python" -c 'import ipykernel, nbclient, nbformat, pip' 2>/dev/null; then
      echo "JUPYTER_TEST_PYTHON=$python"
      return
    fi
  done
  return 1
}

found && exit
bash .ci/debian.sh python3-nbclient python3-nbformat python3-ipykernel python3-pip || {
  echo "jupyter.sh: or set JUPYTER_TEST_PYTHON to a Python that has nbclient, nbformat, ipykernel and pip" >&2
  exit 1
}
found || { echo "jupyter.sh: the packages are there, but Python does not find them" >&2; exit 1; }
