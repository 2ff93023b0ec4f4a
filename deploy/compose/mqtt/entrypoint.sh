#!/bin/sh
# Starts the broker with a user for each file mqtt_USER_password.
#
# MQTT_SECRETS_DIR   where these files are; default: /secrets
# MQTT_RUN_DIR       where what is made of them is written, best on a tmpfs; default: /tmp
# MQTT_DATA_DIR      what outlasts a restart; default: /mosquitto/data
# MQTT_CERTS_DIR     where mqtt.crt and mqtt.key may be: then TLS is spoken too; default: /certs
# MQTT_PORT, MQTTS_PORT    default: 1883, 8883
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
secrets=${MQTT_SECRETS_DIR:-/secrets}
run=${MQTT_RUN_DIR:-/tmp}
certs=${MQTT_CERTS_DIR:-/certs}
data=${MQTT_DATA_DIR:-/mosquitto/data}
patience=60

are_there() {
  [ -r "$secrets/mqtt_line-worker_password" ] && [ -r "$secrets/mqtt_subscriber_password" ]
}

until are_there; do
  [ "$patience" -gt 0 ] || { echo "mqtt entrypoint: no passwords in $secrets" >&2; exit 78; }
  patience=$((patience - 1))
  sleep 1
done

for user in line-worker subscriber; do
  printf '%s:%s\n' "$user" "$(cat "$secrets/mqtt_${user}_password")"
done > "$run/passwords"
mosquitto_passwd -U "$run/passwords" # hashes them; so a password is in no argument
grep -v '^#' "$here/acl" > "$run/acl"
{
  sed "s#/tmp/#$run/#; s#/mosquitto/data#$data#" "$here/mosquitto.conf"
  printf 'listener %s\n' "${MQTT_PORT:-1883}"
  if [ -r "$certs/mqtt.crt" ]; then
    printf 'listener %s\ncertfile %s\nkeyfile %s\n' "${MQTTS_PORT:-8883}" "$certs/mqtt.crt" "$certs/mqtt.key"
  fi
} > "$run/mosquitto.conf"
exec mosquitto -c "$run/mosquitto.conf" "$@"
