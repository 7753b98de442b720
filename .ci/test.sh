#!/usr/bin/env bash
# Runs all tests. It provides a MongoDB-compatible server, a real Ollama, Jupyter and the loaders of datasets for them,
# unless MONGODB_URI, OLLAMA_TEST_HOST, JUPYTER_TEST_PYTHON and LOADERS_TEST_PYTHON name what is there, and the programs
# that some of them run. What cannot be provided is skipped and said loudly at the end; with CI=true that is a failure. Arguments go to go test, such as
# Runs all tests. It provides a MongoDB-compatible server, a real Ollama, Jupyter and the JSON Schema test suite for
# them, unless MONGODB_URI, OLLAMA_TEST_HOST, JUPYTER_TEST_PYTHON and SCHEMA_TEST_SUITE name what is there, and the
# programs that some of them run. What cannot be provided is skipped and said loudly at the end; with CI=true that is a failure. Arguments go to go test, such as
# -run NAME or -count 10; the packages are always all.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
started=() skipped=()
finish() { for script in "${started[@]:-}"; do [ -z "$script" ] || bash ".ci/$script.sh" stop >/dev/null 2>&1; done; }
trap finish EXIT

# provide SCRIPT VARIABLE WHAT: sets the variables that the script prints
provide() {
  [ -z "${!2:-}" ] || { echo "using $2 for $3" >&2; return; }
  echo "starting $3 (the first time this takes some minutes)" >&2
  local lines
  if lines=$(bash ".ci/$1.sh"); then
    case "$1" in mongo | ollama) started+=("$1") ;; esac # the others only say where something is
    while IFS='=' read -r name value; do [ -z "$name" ] || export "$name=$value"; done <<<"$lines"
  else
    skipped+=("all tests that need $3 ($2 is not set and .ci/$1.sh could not provide it)")
  fi
}
provide mongo MONGODB_URI "a MongoDB-compatible server"
provide ollama OLLAMA_TEST_HOST "a real Ollama"
provide jupyter JUPYTER_TEST_PYTHON "Jupyter"
provide loaders LOADERS_TEST_PYTHON "Python with the loaders"
provide schemas SCHEMA_TEST_SUITE "the JSON Schema test suite"

# need PROGRAM PACKAGE WHAT
need() {
  command -v "$1" >/dev/null || { bash .ci/debian.sh "$2" && command -v "$1" >/dev/null; } || skipped+=("$3 (there is no $1)")
}
need git git "the release"
need systemd-analyze systemd "what systemd says about the units"

race=()
if [ "$(CGO_ENABLED=1 go env CGO_ENABLED)" = 1 ] && command -v "$(go env CC)" >/dev/null; then
  race=(-race)
else
  skipped+=("the race detector (it needs a C compiler)")
fi
export GORACE="${GORACE:-atexit_sleep_ms=10}" # else each program with the race detector waits a second at its end
# The programs that tests build are compiled as in a release and in the lint, once for all; the tests themselves are not.
CGO_ENABLED=$([ ${#race[@]} -gt 0 ] && echo 1 || echo 0) GOFLAGS="${GOFLAGS:-} -trimpath" \
  go test -trimpath=false "${race[@]}" -timeout 20m "$@" ./...
code=$?
for what in "${skipped[@]:-}"; do [ -z "$what" ] || printf '\n*** SKIPPED: %s ***\n' "$what"; done
[ ${#skipped[@]} -eq 0 ] || [ "${CI:-}" != true ] || { echo "with CI=true nothing may be skipped" >&2; exit 1; }
exit $code
