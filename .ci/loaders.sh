#!/usr/bin/env bash
# Provides the libraries with which people load what Gleaner writes, and prints LOADERS_TEST_PYTHON=PATH, a Python that
# has pyarrow, pandas, polars, duckdb, datasets, huggingface_hub, jinja2 and pydantic, also as HUB_TEST_PYTHON and
# JINJA_TEST_PYTHON. It takes LOADERS_TEST_PYTHON, else makes a venv in the user's cache,
# ${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/loaders, under a hash of its list: about two minutes and 650 MB, once.
# It needs python3 with venv, which root on Debian gets from here. Everything but that line goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

packages="pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0 duckdb==2.0.1 datasets==5.2.0 jinja2==3.1.6 pydantic==2.14.4"
imports="import pyarrow, pandas, polars, duckdb, datasets, huggingface_hub, jinja2, pydantic"

say() { echo "loaders.sh: $*" >&2; }
found() { printf '%s\n' "LOADERS_TEST_PYTHON=$1" "HUB_TEST_PYTHON=$1" "JINJA_TEST_PYTHON=$1"; }
works() { [ -x "$1" ] && "$1" -c "$imports" 2>/dev/null; }

if [ -n "${LOADERS_TEST_PYTHON:-}" ]; then
  works "$LOADERS_TEST_PYTHON" || { say "$LOADERS_TEST_PYTHON does not have all of: $packages"; exit 1; }
  found "$LOADERS_TEST_PYTHON"
  exit
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/loaders
mkdir -p "$cache"
if command -v flock >/dev/null; then # two at once would make it twice
  exec 9>"$cache/lock"
  flock -w 1200 9 || { say "another loaders.sh holds $cache/lock for twenty minutes"; exit 1; }
fi
venv=$cache/$(echo "$packages" | cksum | cut -d ' ' -f 1)
if [ ! -e "$venv/ok" ] || ! works "$venv/bin/python"; then
  say "making a venv with $packages: about two minutes, once"
  rm -rf "$venv"
  python3 -m venv "$venv" >/dev/null 2>&1 9>&- || {
    bash .ci/debian.sh python3-venv 9>&- && python3 -m venv "$venv" >&2 9>&- || { say "or set LOADERS_TEST_PYTHON to a Python that has $packages"; exit 1; }
  }
  install() { nice -n 10 "$venv/bin/pip" install --quiet --disable-pip-version-check $packages >"$cache/pip.log" 2>&1 </dev/null 9>&-; }
  install || { say "once more"; sleep 3; install; } || { tail -n 25 "$cache/pip.log" >&2; say "see $cache/pip.log"; exit 1; }
  works "$venv/bin/python" || { say "the packages are there, but Python does not import them: see $venv/bin/python -c '$imports'"; exit 1; }
  touch "$venv/ok"
fi
found "$venv/bin/python"
