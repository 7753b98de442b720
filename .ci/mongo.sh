#!/bin/bash
# Provides a MongoDB-compatible server on loopback for tests, and prints MONGODB_URI=mongodb://127.0.0.1:PORT/
#
# usage: .ci/mongo.sh [DIR] [PORT]        start it, or find it running; everything but that line goes to stderr
#        .ci/mongo.sh stop [DIR] [PORT]   stop it; its data stay in DIR (rm -rf DIR removes them)
#        .ci/mongo.sh pids [DIR] [PORT]   print the ids of its processes, for who wants to kill them
#
# It takes the first that this machine has: mongod, docker, or, for root on Debian, PostgreSQL with DocumentDB in a
# root folder of its own and FerretDB, which speaks MongoDB's protocol, in front of it. The last takes about a minute
# and 900 MB the first time. Everything is kept in DIR, which is in the user's cache unless it is given.
#
# The data are for tests: a power failure may lose them, unless GLEANER_MONGO_DURABLE=1 is set at the start.
set -euo pipefail

command=start
case ${1:-} in stop | pids) command=$1 && shift ;; esac
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/gleaner/mongo}
port=${2:-27117}
case $port in
*[!0-9]* | "") echo "mongo.sh: port '$port' is not a number" >&2; exit 2 ;;
esac
pgport=$((port > 55535 ? port - 10000 : port + 10000))
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
root=$dir/root
data=/srv/gleaner/$port # in root
pgbin=/usr/lib/postgresql/18/bin
container=gleaner-mongo-$port
exec 3>&1 1>&2 # stdout is for the one line

say() { echo "mongo.sh: $*"; }

# fail MESSAGE [LOG]: what went wrong, and the end of the log that tells more.
fail() {
	say "$1"
	if [ -s "${2:-}" ]; then
		say "the end of $2:"
		tail -n 25 "$2"
	fi
	say "or start a server yourself and set MONGODB_URI"
	exit 1
}

# twice LOG COMMAND…: networks and mirrors have bad moments.
twice() {
	local log=$1
	shift
	"$@" >"$log" 2>&1 3>&- 9>&- && return
	say "once more: $* (it failed, see $log)"
	sleep 3
	"$@" >"$log" 2>&1 3>&- 9>&-
}

# alive asks for the databases in MongoDB's protocol (OP_MSG {listDatabases: 1, nameOnly: true, $db: "admin"}), which
# only a server whose storage works can answer. It is a subshell, so that its connection closes with it.
alive() (
	exec 4<>"/dev/tcp/127.0.0.1/$port" || exit 1
	printf '\x47\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x32\0\0\0\x10listDatabases\0\x01\0\0\0\x08nameOnly\0\x01\x02$db\0\x06\0\0\0admin\0\0' >&4
	head -c 40 <&4 >"$dir/answer.$port" & # the first field's name stands in these bytes
	for _ in $(seq 50); do # five seconds
		kill -0 $! || break
		sleep 0.1
	done
	kill $! || true
	grep -aq databases "$dir/answer.$port"
) 2>/dev/null

# must_be_free PORT
must_be_free() {
	if (exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
		fail "port $1 is taken by another program, which is no MongoDB server that can be used: choose another port"
	fi
}

# await PID LOG WHAT: until the server answers.
await() {
	for _ in $(seq 300); do
		alive && return
		if [ -n "$1" ] && ! kill -0 "$1" 2>/dev/null; then break; fi
		sleep 0.1
	done
	fail "$3 does not answer on port $port" "$2"
}

# daemon PIDFILE LOG COMMAND…: in the background, in a session of its own, holding none of our files.
daemon() {
	local pidfile=$1 log=$2
	shift 2
	if command -v setsid >/dev/null; then set -- setsid "$@"; fi
	nohup "$@" >"$log" 2>&1 </dev/null 3>&- 9>&- &
	echo $! >"$pidfile"
}

# name PID: of the program, so that a stale file never ends a stranger.
name() { cat "/proc/$1/comm" 2>/dev/null || ps -o comm= -p "$1" 2>/dev/null || true; }

# end PIDFILE PROGRAM
end() {
	local pid
	pid=$(cat "$1" 2>/dev/null) || return 0
	if [ "$(basename "$(name "$pid")")" = "$2" ]; then
		kill "$pid"
		for _ in $(seq 100); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
	fi
	rm -f "$1"
}

start_mongod() {
	say "starting the mongod of this machine"
	mkdir -p "$dir/mongod-$port"
	end "$dir/mongod-$port.pid" mongod
	must_be_free "$port"
	daemon "$dir/mongod-$port.pid" "$dir/mongod-$port.log" \
		mongod --dbpath "$dir/mongod-$port" --port "$port" --bind_ip 127.0.0.1
	await "$(cat "$dir/mongod-$port.pid")" "$dir/mongod-$port.log" mongod
}

docker_works() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

start_docker() {
	say "starting MongoDB in docker"
	docker rm -f "$container" >/dev/null 2>&1 || true
	must_be_free "$port"
	twice "$dir/docker-$port.log" docker run -d --rm --name "$container" -p "127.0.0.1:$port:27017" mongo:8 ||
		fail "docker cannot run mongo:8" "$dir/docker-$port.log"
	for _ in $(seq 300); do
		alive && return
		sleep 0.1
	done
	docker logs "$container" >"$dir/docker-$port.log" 2>&1 || true
	fail "MongoDB in docker does not answer on port $port" "$dir/docker-$port.log"
}

make_root() {
	rm -rf --one-file-system "$root"
	debootstrap --variant=minbase --include=postgresql-18,postgresql-18-documentdb sid "$root"
}

make_ferretdb() { (cd "$dir" && GOBIN=$dir GOFLAGS=-mod=mod CGO_ENABLED=0 go install github.com/FerretDB/FerretDB/v2/cmd/ferretdb@v2.7.0); }

# prepare makes the root and FerretDB, both at once, unless they are there.
prepare() {
	local building=""
	if [ ! -x "$dir/ferretdb" ]; then
		say "building FerretDB"
		twice "$dir/ferretdb-build.log" make_ferretdb &
		building=$!
	fi
	if [ ! -e "$dir/root.ok" ]; then
		if ! command -v debootstrap >/dev/null; then
			say "installing debootstrap"
			{ apt-get update -qq && apt-get install -y -qq debootstrap; } >"$dir/apt.log" 2>&1 ||
				fail "debootstrap cannot be installed" "$dir/apt.log"
		fi
		say "making a Debian root with PostgreSQL and DocumentDB: about a minute, once"
		twice "$dir/debootstrap.log" make_root || fail "the Debian root cannot be made" "$dir/debootstrap.log"
		touch "$dir/root.ok"
	fi
	if [ -n "$building" ]; then
		wait $building || fail "FerretDB cannot be built" "$dir/ferretdb-build.log"
	fi
}

pg() { chroot --userspec=postgres:postgres "$root" /usr/bin/env -i PATH="$pgbin:/usr/bin:/bin" LC_ALL=C.UTF-8 "$@" </dev/null 3>&- 9>&-; }

start_postgres() {
	local log=$dir/postgres-$port.log options="-p $pgport"
	if [ "${GLEANER_MONGO_DURABLE:-}" != 1 ]; then
		options="$options -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
	fi
	if [ ! -e "$root$data/ready" ]; then
		say "making the database"
		rm -rf --one-file-system "$root$data"
		mkdir -p "$root$data"
		chroot "$root" chown postgres "$data"
		pg initdb -D "$data/pg" --locale=C.UTF-8 -A trust --no-sync >"$log" 2>&1 || fail "the database cannot be made" "$log"
		cat >>"$root$data/pg/postgresql.conf" <<-CONF
			listen_addresses = '127.0.0.1'
			unix_socket_directories = '$data'
			shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb'
			cron.database_name = 'postgres'
			max_connections = 200
		CONF
	fi
	if ! pg pg_ctl -D "$data/pg" status >/dev/null 2>&1; then
		must_be_free "$pgport"
		pg pg_ctl -D "$data/pg" -l "$data/log" -o "$options" -w -t 60 start >"$log" 2>&1 || fail "PostgreSQL does not start" "$root$data/log"
	fi
	pg psql -q -h 127.0.0.1 -p "$pgport" -c 'create extension if not exists documentdb cascade' postgres >"$log" 2>&1 ||
		fail "DocumentDB cannot be set up" "$log"
	touch "$root$data/ready"
}

start_ferretdb() {
	prepare
	end "$dir/ferretdb-$port.pid" ferretdb
	must_be_free "$port"
	start_postgres
	mkdir -p "$dir/state-$port"
	daemon "$dir/ferretdb-$port.pid" "$dir/ferretdb-$port.log" "$dir/ferretdb" \
		--postgresql-url="postgres://postgres@127.0.0.1:$pgport/postgres" --listen-addr="127.0.0.1:$port" \
		--no-auth --debug-addr=- --telemetry=disable --state-dir="$dir/state-$port" --log-level=warn
	await "$(cat "$dir/ferretdb-$port.pid")" "$dir/ferretdb-$port.log" FerretDB
}

start() {
	if alive; then
		say "a server is running on port $port already"
		return
	fi
	if command -v mongod >/dev/null; then
		start_mongod
	elif docker_works; then
		start_docker
	elif [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v go >/dev/null; then
		start_ferretdb
	else
		fail "there is no mongod, no working docker, and this is not root on Debian with Go"
	fi
}

stop() {
	end "$dir/mongod-$port.pid" mongod
	end "$dir/ferretdb-$port.pid" ferretdb
	if [ -e "$root$data/pg/postmaster.pid" ]; then
		pg pg_ctl -D "$data/pg" -m fast stop || true
	fi
	if docker_works; then docker rm -f "$container" >/dev/null 2>&1 || true; fi
	say "stopped what ran for port $port"
}

# pids prints the processes of the server, but for docker's, which are not ours.
pids() {
	local file pid
	for file in "$dir/mongod-$port.pid" "$dir/ferretdb-$port.pid" "$root$data/pg/postmaster.pid"; do
		pid=$(head -n 1 "$file" 2>/dev/null) || continue
		if kill -0 "$pid" 2>/dev/null; then echo "$pid" $(ps -o pid= --ppid "$pid" 2>/dev/null) >&3; fi
	done
}

# One at a time: two test programs may ask at once.
if command -v flock >/dev/null; then
	exec 9>"$dir/lock"
	flock -w 600 9 || fail "another mongo.sh holds $dir/lock for ten minutes"
fi
$command
if [ $command = start ]; then echo "MONGODB_URI=mongodb://127.0.0.1:$port/" >&3; fi
