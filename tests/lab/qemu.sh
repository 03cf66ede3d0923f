#!/usr/bin/env bash
# Finds the newest QEMU that can be had for the lab's test host and prints the words of its command, one per line.
#
# Emulated SVM got steadier with every release (see docs/development.md), so trixie-backports' QEMU is fetched into a
# small root of its own, once, and run by its own loader. Where that cannot be had, the machine's own QEMU serves.
# HOLT_LAB_QEMU=COMMAND overrides the choice.
#
# Cache: ${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/qemu/<hash of this script>/
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache=${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/qemu

say() { echo "lab: $*" >&2; }

if [ -n "${HOLT_LAB_QEMU:-}" ]; then printf '%s\n' "$HOLT_LAB_QEMU"; exit 0; fi

command_of() { # ROOT
  printf '%s\n' "$1/usr/lib64/ld-linux-x86-64.so.2" --library-path "$1/usr/lib/x86_64-linux-gnu" \
    "$1/usr/bin/qemu-system-x86_64" -L "$1/usr/share/qemu" -L "$1/usr/share/seabios"
}

fetch() {
  local trixie backports
  trixie=$("$here/../debian/source.sh" trixie) || return 1
  backports=$("$here/../debian/source.sh" trixie-backports) || return 1
  say "fetching trixie-backports' QEMU: half a minute, once"
  # Only unpacked: nothing in it is configured, nothing of it runs but QEMU.
  mmdebstrap --variant=extract --architectures=amd64 --include=qemu-system-x86,libc6 \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --setup-hook='mkdir -p "$1/etc/apt/preferences.d"; printf "Package: *\nPin: release n=trixie-backports\nPin-Priority: 500\n" >"$1/etc/apt/preferences.d/backports"' \
    trixie "$1" "$trixie" "$backports" 2>"$1.log" </dev/null || { tail -n 5 "$1.log" >&2; return 1; }
  local words
  mapfile -t words < <(command_of "$1")
  "${words[@]}" --version >/dev/null 2>>"$1.log"
}

hash=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-20)
final=$cache/$hash
if [ ! -d "$final" ] && [ "$(id -u)" = 0 ] && command -v mmdebstrap >/dev/null; then
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  if [ ! -d "$final" ]; then
    rm -rf --one-file-system "$cache/build" "$cache/build.log"
    if fetch "$cache/build"; then
      sync -f "$cache/build"
      mv -T "$cache/build" "$final"
    else
      say "trixie-backports' QEMU cannot be had here"
      rm -rf --one-file-system "$cache/build"
    fi
  fi
fi
if [ -d "$final" ]; then command_of "$final"; exit 0; fi
command -v qemu-system-x86_64 || { echo "lab: error: no QEMU: run './dev setup'" >&2; exit 1; }
