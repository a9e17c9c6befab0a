#!/usr/bin/env bash
# Prints the crates that are linked into the programs for the target TRIPLE: name, version, licence, origin, and the text of
# each one's notice, since MIT and BSD ask for it wherever the program goes. The Apache licence is on every Debian already.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src

echo "The programs of this package are linked from these crates. The text of the Apache License, version 2.0, is in"
echo "/usr/share/common-licenses/Apache-2.0; every other notice stands here."
cargo tree --offline --locked -p gate-daemon -p enroll-tool -p gate-lab --edges normal --target "$1" \
    --prefix none --no-dedupe --format '{p}|{l}|{r}' | grep -v -e ' (/' -e '^$' | sort -u | while IFS='|' read -r crate licence origin; do
    name=${crate%% *}
    version=${crate##* v}
    version=${version%% *}
    printf '\n======== %s %s, %s, %s\n' "$name" "$version" "$licence" "$origin"
    find "$sources"/*/"$name-$version" -maxdepth 1 -type f \
        \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' \) | sort | while read -r text; do
        grep -qE 'Apache License$' "$text" || { echo && cat "$text"; }
    done
done
