#!/usr/bin/env bash
# Checks the form of the code: formatter, vet for the systems it runs on, linter.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" # as in a release, so that the tests need not compile it again
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not formatted, run gofmt -w on: $unformatted" >&2; exit 1; }
for system in linux windows darwin; do
  echo "vet for $system" >&2
  GOOS=$system go vet ./...
done
go tool staticcheck ./...
