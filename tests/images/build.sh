#!/usr/bin/env bash
# build.sh [IMAGE]...: makes the root file systems that the demo and the tests run, from Debian's packages, once, and
# prints the directory that holds them as NAME.tar. Without arguments, all of them:
#   demo    a shell and the everyday tools, unpacked but not configured: small and quick to make
#   debian  Debian 12 as mmdebstrap installs it, with apt, Python, SQLite and a C compiler
#   buildah, podman, umoci   images that those tools made of them (by_others.sh)
#
# Cache: ${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/images/<hash of the two scripts>/
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here kSuite=bookworm
readonly kDemo=base-files,base-passwd,bash,coreutils,dash,debianutils,findutils,grep,gzip,hostname,less,libc-bin,mawk,mount,ncurses-base,procps,sed,tar,util-linux
readonly kDebian=build-essential,ca-certificates,procps,python3-minimal,python3,sqlite3
readonly cache=${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/images

say() { echo "images: $*" >&2; }
die() { echo "images: error: $*" >&2; exit 1; }

[ $# -gt 0 ] || set -- demo debian buildah podman umoci
hash=$(cat "$here/build.sh" "$here/by_others.sh" | sha256sum | cut -c1-20)
final=$cache/$hash

missing=()
for name in "$@"; do [ -e "$final/$name.tar" ] || missing+=("$name"); done
if [ ${#missing[@]} -eq 0 ]; then echo "$final"; exit 0; fi

[ "$(id -u)" = 0 ] || die "making images needs root"
command -v mmdebstrap >/dev/null || die "'mmdebstrap' is missing: run './dev setup'"
mkdir -p "$final"
exec 9>"$cache/lock"
flock 9
source_line=$("$here/../debian/source.sh" "$kSuite")
trap 'rm -f "$final"/.*.new.tar "$final"/.*.log' EXIT
trap 'exit 130' INT TERM

bootstrap() { # NAME ARGUMENTS...
  local name=$1 log=$final/.$1.log
  shift
  mmdebstrap --mode=root --architectures=amd64 --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$@" \
    "$kSuite" "$final/.$name.new.tar" "$source_line" </dev/null 2>"$log" ||
    { tail -n 20 "$log" >&2; die "mmdebstrap failed for the image '$name'"; }
}

for name in "${missing[@]}"; do
  [ -e "$final/$name.tar" ] && continue
  start=$SECONDS
  case $name in
    demo)
      say "making the demo image from Debian packages: some ten seconds, once"
      # What the unconfigured packages' scripts would have set up.
      bootstrap demo --variant=extract --include="$kDemo" --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --extract-hook='cp "$1/usr/share/base-passwd/passwd.master" "$1/etc/passwd"' \
        --extract-hook='cp "$1/usr/share/base-passwd/group.master" "$1/etc/group"' \
        --extract-hook='ln -s mawk "$1/usr/bin/awk"' \
        --extract-hook='mkdir -p "$1/root" "$1/tmp" "$1/proc" "$1/sys" "$1/dev"; chmod 1777 "$1/tmp"; chmod 700 "$1/root"'
      ;;
    debian)
      say "making the Debian test image: about a minute, once"
      bootstrap debian --variant=minbase --include="$kDebian"
      ;;
    buildah | podman | umoci)
      command -v "$name" >/dev/null || die "'$name' is missing: run './dev setup'"
      say "making an image with $name"
      "$here/by_others.sh" "$name" "$final" "$final/.$name.new.tar" </dev/null >"$final/.$name.log" 2>&1 ||
        { tail -n 20 "$final/.$name.log" >&2; die "$name failed to make its image"; }
      ;;
    *) die "no image '$name': there are demo, debian, buildah, podman and umoci" ;;
  esac
  mv "$final/.$name.new.tar" "$final/$name.tar"
  say "$name: $(($(stat -c %s "$final/$name.tar") / 1000000)) MB in $((SECONDS - start)) s"
done
echo "$final"
