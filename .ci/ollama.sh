#!/usr/bin/env bash
# A real Ollama for the tests, on the CPU: built from its Go module, with tiny models, on loopback only.
#
#   .ci/ollama.sh [DIR] [PORT]        start it, or find it running, and print OLLAMA_TEST_HOST=… and OLLAMA_TEST_BIN=…
#   .ci/ollama.sh stop [DIR] [PORT]   stop it; without a port every server of DIR
#
# DIR holds the servers' models, logs and pids (default: run/ in the cache). Without a PORT it takes the one that a
# server of DIR already has, else the first free one from 21434 on. The build takes four minutes on two cores the
# first time; then it lies in the cache, ${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/ollama, under a hash of its recipe.
# It needs Go and gcc, and on Debian root for two packages of headers. Talk goes to stderr.
set -euo pipefail

cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/ollama
malgo=v0.11.24 # a Go module that carries miniaudio.h, which Ollama's own module leaves out
flags="-O3"
[ "$(uname -m)" != x86_64 ] || flags+=" -march=x86-64-v3" # not native: caches travel between machines

say() { echo "ollama.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# run LOG COMMAND…: quietly, but loud if it fails.
run() {
  local log=$1
  shift
  ("$@") >"$log" 2>&1 </dev/null || { say "this failed: $*"; tail -n 40 "$log" >&2; return 1; }
}

headers_there() {
  local found
  for h in nlohmann/json.hpp stb/stb_image.h; do
    found=$(find /usr/include /usr/local/include -path "*/$h" -print -quit 2>/dev/null) && [ -n "$found" ] || return 1
  done
}

install_packages() {
  command -v apt-get >/dev/null || die "the headers nlohmann/json.hpp and stb/stb_image.h are missing: install them"
  [ "$(id -u)" = 0 ] || die "run as root: apt-get install nlohmann-json3-dev libstb-dev g++"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq nlohmann-json3-dev libstb-dev g++
}

build() {
  local out=$1 version=$2 log=$1/build.log source
  mkdir -p "$out" "$cache/inc/miniaudio"
  if ! headers_there || ! command -v g++ >/dev/null; then
    say "installing two packages of headers"
    run "$log" install_packages || { say "once more"; sleep 5; run "$log" install_packages; } || die "see $log"
  fi
  # In a folder of its own: this module must not come to need malgo.
  source=$(cd "$out" && GOWORK=off GOFLAGS=-mod=mod go mod download -json "github.com/gen2brain/malgo@$malgo" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p') || true
  [ -f "$source/miniaudio.h" ] || die "miniaudio.h is missing: try go mod download -x github.com/gen2brain/malgo@$malgo"
  ln -sfn "$source/miniaudio.h" "$cache/inc/miniaudio/miniaudio.h"
  say "building Ollama $version, some minutes (log: $log)"
  (
    cd "$out"
    export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1 GOBIN=$out/new
    export CGO_CPPFLAGS="-I$cache/inc" CGO_CFLAGS="$flags" CGO_CXXFLAGS="$flags"
    run "$log" go install -trimpath -ldflags="-s -w -X github.com/ollama/ollama/version.Version=${version#v} -X github.com/ollama/ollama/server.mode=release" \
      "github.com/ollama/ollama@$version"
  ) || die "see $log"
  mv "$out/new/ollama" "$out/ollama" # only what is complete gets the name that is looked for
  rmdir "$out/new"
}

hash() { sha256sum | cut -c1-16; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# alive HOME: the process of the server that has its files there runs, and is no other that got its number.
alive() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q 'ollama serve'
}

serve() {
  local home=$1 port=$2 bin=$3
  mkdir -p "$home/models"
  say "starting it on port $port (log: $home/log)"
  env -u OLLAMA_DEBUG HOME="$home" OLLAMA_HOST="127.0.0.1:$port" OLLAMA_MODELS="$home/models" OLLAMA_NO_CLOUD=1 OLLAMA_NOPRUNE=1 \
    OLLAMA_NUM_PARALLEL=8 OLLAMA_CONTEXT_LENGTH=2048 OLLAMA_KEEP_ALIVE=-1 OLLAMA_MAX_LOADED_MODELS=4 \
    setsid "$bin" serve >"$home/log" 2>&1 </dev/null 9>&- &
  echo $! >"$home/pid"
}

start() {
  local dir=$1 port=$2 version key models home p
  command -v go >/dev/null || die "Go is missing: https://go.dev/dl"
  version=$(go list -m -f '{{.Version}}' github.com/ollama/ollama)
  key=$({ declare -f build; echo "$version $malgo $flags"; go env GOARCH; } | hash)
  mkdir -p "$cache" "$dir"
  exec 9>"$cache/lock"
  flock 9 # two at once would build twice
  bin=$cache/$key/ollama
  [ -x "$bin" ] || build "$cache/$key" "$version"

  if [ -z "$port" ]; then
    for home in "$dir"/*/; do
      if alive "$home"; then port=$(basename "$home"); break; fi
    done
    for ((p = 21434; p < 21534; p++)); do
      [ -n "$port" ] || listens "$p" || port=$p
    done
  fi
  [ -n "$port" ] || die "no port is free from 21434 to 21533: name one"
  home=$dir/$port
  models=$(cat internal/ollama/gguftest/*.go internal/ollama/ollamatest/models.go | hash)
  if alive "$home" && [ "$(cat "$home/recipe" 2>/dev/null)" = "$key $models" ]; then
    say "it runs already on port $port"
  else
    if alive "$home"; then
      say "it is out of date on port $port"
      stop_one "$home"
    fi
    ! listens "$port" || die "something else listens on port $port: name another, as in .ci/ollama.sh '$dir' $((port + 1))"
    rm -rf "$home"
    serve "$home" "$port" "$bin"
  fi
  if ! run "$home/models.log" go run ./internal/tools/tinymodels "http://127.0.0.1:$port"; then
    say "the end of the server's log:"
    tail -n 20 "$home/log" >&2
    stop_one "$home"
    exit 1
  fi
  echo "$key $models" >"$home/recipe"
  echo "OLLAMA_TEST_HOST=http://127.0.0.1:$port"
  echo "OLLAMA_TEST_BIN=$bin"
}

stop_one() {
  local home=$1 pid
  alive "$home" || { rm -f "$home/pid"; return 0; }
  pid=$(cat "$home/pid")
  kill "$pid" # SIGTERM: the server ends its runners, which it does not after SIGKILL
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  ! kill -0 "$pid" 2>/dev/null || kill -9 -- "-$pid"
  rm -f "$home/pid"
  say "stopped the one on port $(basename "$home")"
}

stop() {
  local home
  for home in "$1"/${2:-*}; do
    [ ! -d "$home" ] || stop_one "$home"
  done
}

main() {
  local action=start dir
  case ${1:-} in
  stop) action=stop && shift ;;
  -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' .ci/ollama.sh >&2 && exit 0 ;;
  esac
  [ $# -le 2 ] || die "usage: .ci/ollama.sh [stop] [DIR] [PORT]"
  dir=${1:-$cache/run}
  case $dir in /*) ;; *) dir=$OLDPWD/$dir ;; esac
  $action "$dir" "${2:-}"
}

{ main "$@"; exit; } # bash reads a script while it runs; like this it may be edited meanwhile
