#!/bin/sh
# Makes the secrets of the compose stack, those that are not there yet, and gives each service its own in a volume that
# no other service mounts. Runs as the first service, before every start of the stack.
#
# Files are for their owner and group alone; redis and grafana, which are other users, are in the group.
set -eu
umask 077

all=${SECRETS_ROOT:-/var/lib/line-worker/secrets}
here=$(cd "$(dirname "$0")" && pwd)

# give OWNER READER FILE...: copies of what is in one folder in the other; a copy that differs is renewed.
give() {
  owner=$1 reader=$2
  shift 2
  for name in "$@"; do
    cmp -s "$all/$owner/$name" "$all/$reader/$name" || put "$all/$reader/$name" < "$all/$owner/$name"
  done
}

# put FILE: the standard input becomes the file in one step.
put() {
  rm -f "$1.new"
  cat > "$1.new"
  chmod 0440 "$1.new"
  mv "$1.new" "$1"
}

# make FILE: a random secret, unless it is there.
make() {
  [ -e "$all/$1" ] || head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' | put "$all/$1"
}

sh "$here/../redis/make-secrets.sh" "$all/redis"
chmod 0440 "$all"/redis/redis_*_password
give redis worker redis_worker_password
give redis alerts redis_alerts_password
give redis gateway redis_gateway_password
give redis cameras redis_camera_password redis_camera-evict_password
give redis operator redis_operator_password redis_viewer_password
make alerts/webhook_secret  # signs what is sent
make grafana/grafana_admin_password
if [ -w "$all/mqtt" ]; then # with mqtt.yml
  make mqtt/mqtt_line-worker_password
  make mqtt/mqtt_subscriber_password
  give mqtt alerts mqtt_line-worker_password
fi
