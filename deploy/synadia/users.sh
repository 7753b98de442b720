#!/usr/bin/env bash
# Makes the four users of a NATS account from ../nats/permissions.conf, so that there is one list of what each may do.
#
#   users.sh ACCOUNT     prints the nsc commands for all of them, to look at and then to run: users.sh team | sh
#   users.sh list USER   prints what a user (producer, consumer, sink, operator) may publish and subscribe to, for a form
#
# The names of the users matter: a program takes its inbox from the name in its credentials.
set -euo pipefail
conf=$(dirname "$0")/../nats/permissions.conf

# rules prints a line for each permission: USER publish|subscribe SUBJECT
rules() {
  awk '
    /^ *#/ { next }
    $1 == "user:" { user = $2 }
    $1 == "publish:" || $1 == "subscribe:" { verb = $1; sub(":", "", verb) }
    { while (match($0, /"[^"]+"/)) { print user, verb, substr($0, RSTART + 1, RLENGTH - 2); $0 = substr($0, RSTART + RLENGTH) } }
  ' "$conf"
}

case ${1:-} in
list)
  rules | awk -v user="${2:?usage: users.sh list USER}" '$1 == user { print $2, $3; n++ } END { exit !n }' || {
    echo "users.sh: there is no user $2: take producer, consumer, sink or operator" >&2
    exit 2
  }
  ;;
"" | -*)
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
*)
  for user in producer consumer sink operator; do
    printf "nsc add user --account '%s' --name %s" "$1" "$user"
    rules | awk -v user="$user" '$1 == user { printf " --allow-%s '\''%s'\''", ($2 == "publish" ? "pub" : "sub"), $3 }'
    printf "\nnsc generate creds --account '%s' --name %s --output-file %s.creds\n" "$1" "$user" "$user"
  done
  ;;
esac
