#!/bin/sh
# Packs all that a box without a network needs into one archive: the images, docker-compose.yml and what it mounts, and
# the model. Run from the repository's root, where images can be built and pulled:
#
#   deploy/airgap/save.sh [-f OVERRIDE.yml]... [-m MODEL_FOLDER] [-k PRIVATE_KEY.pem] ARCHIVE.tar
#
# Beside the archive it writes ARCHIVE.tar.sha256 and, with a key, ARCHIVE.tar.sig (`openssl genpkey -algorithm ed25519`
# makes one), and load.sh. Carry all of them to the box; who should notice an archive that was changed on the way needs
# the checksum, or the public key, by another one.
#
# ENGINE    docker or podman; default: the one that is there
# COMPOSE   what reads docker-compose.yml; default: docker compose, or podman-compose
set -eu

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

fail() {
  echo "save.sh: $*" >&2
  exit 1
}

overrides= model= key=
while getopts f:m:k: option; do
  case $option in
    f) overrides="$overrides -f $OPTARG" ;;
    m) model=$OPTARG ;;
    k) key=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || usage
archive=$1

[ -e docker-compose.yml ] || fail "run it from the repository's root"
[ -z "$model" ] || [ -e "$model/inference.yml" ] || fail "$model is no model folder: there is no inference.yml in it"
[ -z "$key" ] || [ -r "$key" ] || fail "$key cannot be read"
engine=${ENGINE:-$(command -v docker >/dev/null && echo docker || echo podman)}
compose=${COMPOSE:-$([ "$engine" = docker ] && echo docker compose || echo podman-compose)}
command -v "$engine" >/dev/null || fail "there is no $engine"

stack="$compose -f docker-compose.yml $overrides --profile demo --profile cameras --profile tools"
images=$($stack config | sed -n 's/^ *image: *//p' | tr -d "\"'" | sort -u)
[ -n "$images" ] || fail "$compose names no image"

work=$(mktemp -d "$(dirname "$archive")/.airgap.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

$stack build
for image in $images; do
  case $image in
    localhost/*) ;;
    *) "$engine" image inspect "$image" >/dev/null 2>&1 || "$engine" pull "$image" ;;
  esac
done

echo "images: $(echo "$images" | tr '\n' ' ')"
multiple=$([ "$engine" = podman ] && echo --multi-image-archive || true)
# shellcheck disable=SC2086  # words of their own
"$engine" save $multiple -o "$work/images.tar" $images
tar -czf "$work/stack.tar.gz" --exclude='*.whl' --exclude=__pycache__ \
  docker-compose.yml .env.example LICENSE README.md configs deploy worker/demo/model
[ -z "$model" ] || tar -czf "$work/model.tar.gz" -C "$model" .
(cd "$work" && sha256sum -- * > SHA256SUMS)
tar -cf "$archive.new" -C "$work" .
mv "$archive.new" "$archive"

(cd "$(dirname "$archive")" && sha256sum -- "$(basename "$archive")") > "$archive.sha256"
[ -z "$key" ] || openssl pkeyutl -sign -rawin -inkey "$key" -in "$archive.sha256" -out "$archive.sig"
cp "$(dirname "$0")/load.sh" "$(dirname "$archive")/load.sh"
echo "$(du -h "$archive" | cut -f 1)  $archive"
cat "$archive.sha256"
