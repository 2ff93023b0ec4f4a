#!/bin/sh
# Makes an authority of your own and with it the certificates of tls.yml and mqtt.yml, for where there is none of your
# house. Those that are there stay; delete one, and it is made anew.
#
#   make-certs.sh FOLDER NAME...     the names and addresses by which the box is reached
#
# ca.crt goes to all who connect (redis.ca_file). ca.key signs: keep it elsewhere. As root, the keys are made readable
# for the group of the services.
set -eu
umask 077

[ $# -ge 2 ] || { echo "usage: make-certs.sh FOLDER NAME..." >&2; exit 2; }
folder=$1
shift
days=3650
group=10001

names=DNS:localhost,IP:127.0.0.1
for name in "$@"; do
  case $name in
    *[!A-Za-z0-9.:_-]* | '' | -*) echo "make-certs.sh: $name is neither a name nor an address" >&2; exit 2 ;;
    *:* | *[!0-9.]*) case $name in *:*) names=$names,IP:$name ;; *) names=$names,DNS:$name ;; esac ;;
    *) names=$names,IP:$name ;;
  esac
done

mkdir -p "$folder"
cd "$folder"
key='-algorithm EC -pkeyopt ec_paramgen_curve:P-256'

if [ ! -e ca.crt ]; then
  openssl genpkey $key -out ca.key
  openssl req -x509 -new -key ca.key -days $days -subj '/CN=line-worker' -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
fi
for server in redis gateway mqtt; do
  [ ! -e "$server.crt" ] || continue
  openssl genpkey $key -out "$server.key"
  openssl req -new -key "$server.key" -subj "/CN=$server" |
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days $days -out "$server.crt.new" -extfile /dev/fd/3 3<<-EXTENSIONS
	subjectAltName=DNS:$server,$names
	extendedKeyUsage=serverAuth
	basicConstraints=CA:FALSE
	EXTENSIONS
  mv "$server.crt.new" "$server.crt"
done
chmod 0755 .
chmod 0644 ./*.crt
if [ "$(id -u)" -eq 0 ]; then
  chgrp "$group" redis.key gateway.key mqtt.key
  chmod 0640 redis.key gateway.key mqtt.key
fi
