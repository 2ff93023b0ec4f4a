#!/bin/sh
# Takes an archive of save.sh apart on a box without a network, and loads its images; nothing of it is used before it was
# found whole.
#
#   load.sh [-s SHA256] [-k PUBLIC_KEY.pem] ARCHIVE.tar FOLDER
#
# Without -s the checksum of ARCHIVE.tar.sha256 counts, which shows damage. With -s, as it was told by another way, or
# with -k, which checks ARCHIVE.tar.sig, it also shows whether somebody changed the archive.
#
# FOLDER must not be there yet; it gets docker-compose.yml, what that mounts, .env, and the model.
#
# ENGINE    docker or podman; default: the one that is there
set -eu

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

refuse() {
  echo "load.sh: $*; nothing was loaded" >&2
  exit 1
}

sum= key=
while getopts s:k: option; do
  case $option in
    s) sum=$OPTARG ;;
    k) key=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage
archive=$1 folder=$2

[ -r "$archive" ] || refuse "$archive cannot be read"
[ ! -e "$folder" ] || refuse "$folder is there already"
if [ -n "$key" ]; then
  openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$archive.sha256" -sigfile "$archive.sig" >/dev/null ||
    refuse "$archive.sig does not fit $archive.sha256 and $key"
fi
[ -n "$sum" ] || sum=$(cut -d ' ' -f 1 < "$archive.sha256") || refuse "there is no $archive.sha256"
[ "$(sha256sum < "$archive" | cut -d ' ' -f 1)" = "$sum" ] || refuse "$archive is not what was saved: its SHA-256 is another"

engine=${ENGINE:-$(command -v docker >/dev/null && echo docker || echo podman)}
command -v "$engine" >/dev/null || refuse "there is no $engine"

# Beside the folder: so that there is the room that it needs, and it appears in one step.
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tar -xf "$archive" -C "$work" --no-same-owner
(cd "$work" && sha256sum --strict --quiet -c SHA256SUMS) || refuse "a part of $archive is not what was saved"

mkdir "$work/stack"
tar -xzf "$work/stack.tar.gz" -C "$work/stack" --no-same-owner
cp "$work/stack/.env.example" "$work/stack/.env"
if [ -e "$work/model.tar.gz" ]; then
  mkdir "$work/stack/model"
  tar -xzf "$work/model.tar.gz" -C "$work/stack/model" --no-same-owner
  echo 'MODEL=./model' >> "$work/stack/.env"
fi
"$engine" load -i "$work/images.tar"
# Read by services that are other users than who unpacks.
chmod -R u+rwX,go+rX "$work/stack"
mv "$work/stack" "$folder"
echo "$folder is ready: cd there, look at .env and deploy/docs/install.md, and bring it up without --build"
