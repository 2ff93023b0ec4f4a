#!/bin/sh
# Starts Alertmanager with the webhook that alerts go to, whose URL comes from a secret's file or the environment: it may
# hold a token, and so stands in no file of ours.
#
#   entrypoint.sh [alertmanager options]
#
# ALERT_WEBHOOK_URL_FILE   the file with the URL; default: /run/secrets/alert_webhook_url, if it is there
# ALERT_WEBHOOK_URL        or the URL itself; without either, alerts are shown and go nowhere
# ALERTMANAGER_CONFIG      where the configuration is written, best on a tmpfs; default: /tmp/alertmanager.yml
# ALERTMANAGER             the program; default: alertmanager, which Debian calls prometheus-alertmanager
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
config=${ALERTMANAGER_CONFIG:-/tmp/alertmanager.yml}
file=${ALERT_WEBHOOK_URL_FILE:-/run/secrets/alert_webhook_url}
url=${ALERT_WEBHOOK_URL:-}

fail() {
  echo "alertmanager entrypoint: $*" >&2
  exit 78
}

if [ -e "$file" ]; then
  [ -r "$file" ] || fail "$file cannot be read"
  url=$(cat "$file")
elif [ -n "${ALERT_WEBHOOK_URL_FILE:-}" ]; then
  fail "there is no $file"
fi

# It stands between quotes in a line of YAML; the message shows none of it.
case $url in
  '' | http://?* | https://?*) ;;
  *) fail "the webhook's URL must begin with http:// or https://" ;;
esac
case $url in
  *[!A-Za-z0-9._~:/?#@!\$\&\(\)*+,\;=%-]*) fail "the webhook's URL has a character that no URL has; write it %XX" ;;
esac

mkdir -p "$(dirname "$config")"
cat "$here/alertmanager.yml" > "$config"
if [ -n "$url" ]; then
  printf "    webhook_configs:\n      - url: '%s'\n        send_resolved: true\n" "$url" >> "$config"
else
  echo 'alertmanager entrypoint: no webhook: alerts are shown on its page and go nowhere' >&2
fi

program=${ALERTMANAGER:-$(command -v alertmanager || command -v prometheus-alertmanager)}
exec "$program" --config.file="$config" "$@"
