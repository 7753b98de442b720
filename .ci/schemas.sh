#!/usr/bin/env bash
# Provides the JSON Schema test suite, and prints SCHEMA_TEST_SUITE=DIR, a folder that has the suite's folders draft7,
# draft2019-09 and draft2020-12. It lies in the sources of Python's jsonschema, which pip downloads once, in some
# seconds, into the cache, ${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/schemas. Everything but that line goes to stderr.
set -euo pipefail
version=4.25.1
sum=e4a9655ce0da0c0b67a085847e00a3a51449e1157f4f75e9fb5aa545e122eb85
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/schemas
suite=$cache/jsonschema-$version/json/tests

say() { echo "schemas.sh: $*" >&2; }

if [ ! -d "$suite/draft2020-12" ]; then
  command -v python3 >/dev/null || { say "there is no python3: install it, with pip"; exit 1; }
  mkdir -p "$cache"
  new=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  say "downloading the JSON Schema test suite"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$new" "jsonschema==$version" >&2 || {
    say "or set SCHEMA_TEST_SUITE to the folder tests of the JSON Schema test suite"
    exit 1
  }
  archive=$new/jsonschema-$version.tar.gz
  echo "$sum  $archive" | sha256sum --check --quiet >&2 || { say "the archive is not the one that is known"; exit 1; }
  tar -xzf "$archive" -C "$new"
  rm -rf "${cache:?}/jsonschema-$version"
  mv "$new/jsonschema-$version" "$cache/"
fi
echo "SCHEMA_TEST_SUITE=$suite"
