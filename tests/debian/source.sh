#!/usr/bin/env bash
# source.sh SUITE: prints an apt source line of Debian's SUITE (bookworm, bookworm-backports, trixie, ...), taken
# from where this machine itself gets Debian, so that mirrors and proxies of a site are honoured.
set -euo pipefail
suite=${1:?usage: source.sh SUITE}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")

# The URIs of all sources of the machine's own release: one-line format first, then deb822.
uris() {
  shopt -s nullglob
  local files=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list)
  for file in "${files[@]}"; do
    [ -r "$file" ] || continue
    sed -n 's/^[ \t]*deb[ \t]\+\(\[[^]]*\][ \t]*\)\?//p' "$file" | awk -v own="$codename" '$2 == own || $2 == "stable" { print $1 }'
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    awk -v own="$codename" '
      function stanza() { if (suites ~ "(^| )(" own "|stable)( |$)" && types ~ /deb( |$)/) print uri; uri = suites = types = "" }
      /^[ \t]*$/ { stanza() }
      tolower($1) == "uris:" { uri = $2 }
      tolower($1) == "suites:" { suites = $0; sub(/^[^ ]+ */, "", suites) }
      tolower($1) == "types:" { types = $0 }
      END { stanza() }' "$file"
  done
}

uri=$(uris | grep -m 1 '/debian/*$' || true)
if [ -z "$uri" ]; then
  echo "error: no source of Debian $codename found in /etc/apt: add a 'deb' line for your mirror (its path ends in /debian)" >&2
  exit 1
fi
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if [ ! -r "$keyring" ]; then
  echo "error: $keyring is missing: apt-get install debian-archive-keyring" >&2
  exit 1
fi
echo "deb [signed-by=$keyring] ${uri%/} $suite main"
