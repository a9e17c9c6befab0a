#!/usr/bin/env bash
# Compares Cargo.lock with the RustSec advisory database, without a network.
#
#     scripts/advisories.sh [DIR]    DIR: a git clone of https://github.com/rustsec/advisory-db; without it
#                                    $ADVISORY_DB, or shared/advisory-db beside the repository
#
# The database comes in no package of crates.io, PyPI, npm or Debian, and a copy in this repository would be out of date
# within days. So whoever checks brings a clone, and what was compared is named by its commit. Without one nothing is
# checked, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
deny=${DENY:-target/tools/bin/cargo-deny}
from=${1:-${ADVISORY_DB:-../shared/advisory-db}}
# What cargo-deny calls the clone of its default database.
into=target/advisories/advisory-db-3157b0e258782691
old_days=30

if ! git -C "$from" rev-parse --quiet --verify HEAD >/dev/null 2>&1; then
    [ -z "${1:-}${ADVISORY_DB:-}" ] || {
        echo "advisories: $from is no git clone: git clone https://github.com/rustsec/advisory-db $from" >&2
        exit 1
    }
    echo "advisories: NOT checked, there is no copy of the database here"
    echo "            git clone https://github.com/rustsec/advisory-db && make advisories DB=advisory-db"
    exit 0
fi
rm -rf target/advisories
mkdir -p target/advisories
git clone --quiet --no-hardlinks "$from" "$into"
# Of the platforms that we build for; others' crates need not be on this machine.
cargo metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu \
    --filter-platform aarch64-unknown-linux-gnu >target/advisories/metadata.json
"$deny" --offline --log-level error --metadata-path target/advisories/metadata.json check --hide-inclusion-graph advisories
commit=$(git -C "$into" log -1 --format='%h of %cs')
days=$((($(date +%s) - $(git -C "$into" log -1 --format=%ct)) / 86400))
echo "advisories: none but those in deny.toml, by RustSec's database at $commit"
[ "$days" -le "$old_days" ] || echo "advisories: that copy is $days days old: git pull in $from"
