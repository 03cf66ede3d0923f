#!/usr/bin/env bash
# Installs what cmake/debian.packages lists, if any of it is missing; says nothing and takes no time if not.
# Debian 12, as root. Adds bookworm-backports as a source only where a package has no candidate without it; Debian
# itself keeps backports from replacing anything else (NotAutomatic).
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here

say() { echo "setup: $*" >&2; }
die() { echo "setup: error: $*" >&2; exit 1; }

mapfile -t packages < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$here/debian.packages")

missing() {
  comm -23 <(printf '%s\n' "${packages[@]}" | sort) \
    <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null | awk '$1 == "ii" { print $2 }' | sort)
}

command -v dpkg-query >/dev/null || die "this is not Debian; install by hand what cmake/debian.packages lists"
mapfile -t absent < <(missing)
[ ${#absent[@]} -eq 0 ] && exit 0
[ "$(id -u)" = 0 ] || die "these packages are missing: ${absent[*]}. Run './dev setup' as root, or install them"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run_apt() { apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" >>"$log" 2>&1; }
fail() { tail -n 15 "$log" >&2; die "$1"; }

without_candidate() {
  # One call for all: a "Package:" line without a candidate has "(none)" below it; an unknown name has no line.
  comm -23 <(printf '%s\n' "${absent[@]}" | sort) \
    <(apt-cache policy "${absent[@]}" | awk '/^[^ ].*:$/ { name = $1; sub(/:$/, "", name) } /Candidate: [^(]/ { print name }' | sort)
}

if [ -n "$(without_candidate)" ]; then
  say "reading package lists"
  run_apt update || fail "'apt-get update' failed: see above; is there a network?"
fi
if [ -n "$(without_candidate)" ]; then
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ "$codename" = bookworm ] || die "Debian '$codename' does not have: $(without_candidate | tr '\n' ' '). Debian 12 is what is supported"
  say "adding bookworm-backports as a package source, for: $(without_candidate | tr '\n' ' ')"
  "$here/../tests/debian/source.sh" bookworm-backports >/etc/apt/sources.list.d/holt-backports.list ||
    { rm -f /etc/apt/sources.list.d/holt-backports.list; exit 1; }
  run_apt update || fail "'apt-get update' failed: see above; is there a network?"
fi
none=$(without_candidate)
[ -z "$none" ] || die "no package source has: $(tr '\n' ' ' <<<"$none")"

say "installing ${#absent[@]} packages and what they need: ${absent[*]}"
run_apt install -y --no-install-recommends "${absent[@]}" &
apt_pid=$!
ticks=0
while kill -0 "$apt_pid" 2>/dev/null; do
  sleep 1
  ticks=$((ticks + 1))
  [ $((ticks % 10)) -ne 0 ] ||
    say "  $(grep -c '^Get:' "$log" || true) fetched, $(grep -c '^Unpacking' "$log" || true) unpacked, $(grep -c '^Setting up' "$log" || true) set up"
done
wait "$apt_pid" || fail "'apt-get install' failed: see above"
mapfile -t absent < <(missing)
[ ${#absent[@]} -eq 0 ] || fail "still missing after installing: ${absent[*]}"
say "done"
