#!/bin/sh
# Starts a line's Redis with a user for each role, whose passwords come from files (Docker secrets).
#
#   entrypoint.sh [redis-server options, such as --maxmemory 2gb]
#
# LINE_LINE          the one line that the users may work on; default: every line of this server
# REDIS_SECRETS_DIR  where the files redis_USER_password are; default: /run/secrets (make-secrets.sh makes them)
# REDIS_SECRETS_WAIT seconds to wait for those files, for where something makes them meanwhile; default: 0
# REDIS_ACL_FILE     where the ACL file is written, best on a tmpfs; default: /run/redis/users.acl
# REDIS_SERVER       the server's program; default: redis-server
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
secrets=${REDIS_SECRETS_DIR:-/run/secrets}
patience=${REDIS_SECRETS_WAIT:-0}
acl_file=${REDIS_ACL_FILE:-/run/redis/users.acl}
line=${LINE_LINE:-*}
users='camera camera-evict worker alerts gateway viewer operator'
shortest=16

fail() {
  echo "redis entrypoint: $*" >&2
  exit 78
}

# The SHA-256 of a user's password; the password itself is in no argument, variable of the environment or file of ours.
hash_of() {
  file=$secrets/redis_$1_password
  [ -r "$file" ] || fail "no password for $1: $file cannot be read; make-secrets.sh makes all of them"
  password=$(cat "$file")
  case $password in
    *[[:cntrl:]]*) fail "$file: a password is one line, without control characters" ;;
  esac
  [ ${#password} -ge $shortest ] || fail "$file: a password has $shortest characters or more"
  printf '%s' "$password" | sha256sum | cut -d ' ' -f 1
}

are_there() {
  for user in $users; do
    [ -r "$secrets/redis_${user}_password" ] || return 1
  done
}

case $line in
  '*') ;;
  *[!A-Za-z0-9_.-]*) fail "LINE_LINE: $line is no line's name" ;;
esac

until are_there || [ "$patience" -le 0 ]; do
  patience=$((patience - 1))
  sleep 1
done

rules="s/@line@/$line/g"
hashes=
for user in $users admin; do
  if [ "$user" = admin ] && [ ! -e "$secrets/redis_admin_password" ]; then
    rules="$rules;/^user admin /d"
    continue
  fi
  hash=$(hash_of "$user") || exit 78
  case $hashes in
    *"$hash"*) fail "the password of $user is another user's too" ;;
  esac
  hashes="$hashes $hash"
  rules="$rules;s/@$user@/$hash/"
done

mkdir -p "$(dirname "$acl_file")"
# An ACL file has no comments and a user on one line.
grep -v '^#' "$here/users.acl.template" |
  awk '/^ / { user = user $0; next } { if (user) print user; user = $0 } END { if (user) print user }' |
  sed "$rules" > "$acl_file"

exec "${REDIS_SERVER:-redis-server}" "$here/redis.conf" --aclfile "$acl_file" "$@"
