#!/bin/sh
# Makes a random password for each user of a line's Redis, in files that entrypoint.sh reads. Those that are there stay.
#
#   make-secrets.sh [FOLDER]    default: ./secrets
set -eu
umask 077

folder=${1:-secrets}
mkdir -p "$folder"
for user in camera camera-evict worker alerts gateway viewer operator admin; do
  file=$folder/redis_${user}_password
  [ ! -e "$file" ] || continue
  # Renamed when it is whole: somebody may be waiting for it, and a power cut may come.
  head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$file.new"
  mv "$file.new" "$file"
done
