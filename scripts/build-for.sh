#!/usr/bin/env bash
# Builds the programs for a Debian architecture, against a glibc old enough for every board we serve:
#
#     scripts/build-for.sh amd64|arm64
#
#   target/TRIPLE/release/{gate-daemon,enroll-tool,gate-lab}    no symbol newer than glibc 2.28 (Debian 10; JetPack 5 has 2.31)
#   target/TRIPLE/runtime/libonnxruntime.so                     that architecture's, as pinned in models/assets.toml
#
# Ten minutes on two cores. Needs rustup, pip, readelf and a C compiler; brings the cross compiler itself.
set -euo pipefail
cd "$(dirname "$0")/.."
GLIBC=2.28
PROGRAMS=(gate-daemon enroll-tool gate-lab)
TOOLS=target/tools/cross

fail() {
    echo "build-for: $*" >&2
    exit 1
}

need() { # command, what to do
    command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

# The cross compiler, in a folder of its own, whole or not at all.
bring_tools() {
    local pins
    pins=$(sha256sum <scripts/cross-tools.txt)
    [ "$(cat "$TOOLS/.pins" 2>/dev/null)" = "$pins" ] && return
    echo "bringing zig and cargo-zigbuild (100 MB)"
    rm -rf "$TOOLS" "$TOOLS.part"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
        --require-hashes --requirement scripts/cross-tools.txt --target "$TOOLS.part" ||
        fail "zig and cargo-zigbuild could not be fetched as pinned in scripts/cross-tools.txt: mend the network, run it again"
    echo "$pins" >"$TOOLS.part/.pins"
    mv "$TOOLS.part" "$TOOLS"
}

build() {
    local headers=$PWD/$TOOLS/ziglang/lib args="" folder
    # The camera's bindings are made from the kernel's headers of that architecture, which zig brings. By absolute paths:
    # zig tells relative ones, and a build script runs in another folder.
    for folder in include "libc/include/$1-linux-gnu" libc/include/generic-glibc "libc/include/$1-linux-any" \
        libc/include/any-linux-any; do
        [ -d "$headers/$folder" ] || fail "zig has no $folder: scripts/cross-tools.txt pins another zig than this script knows"
        args+="-isystem $headers/$folder "
    done
    PATH="$PWD/$TOOLS/bin:$PATH" CARGO_ZIGBUILD_ZIG_PATH="$PWD/$TOOLS/ziglang/zig" BINDGEN_EXTRA_CLANG_ARGS="$args" \
        cargo zigbuild --release --target "$triple.$GLIBC" "${PROGRAMS[@]/#/-p}" ||
        fail "the build for $triple failed, see above"
}

# No file may ask for more than the stated glibc: the loader of an older system would refuse to start it.
check_glibc() {
    local file newer newest
    for file in "$@"; do
        newest=$(readelf --wide --dyn-syms "$file" | { grep -oE 'GLIBC_[0-9.]+' || true; } | sort -uV | tail -n 1)
        newer=$(readelf --wide --dyn-syms "$file" | awk -v limit="$GLIBC" '
            match($0, /[^ ]+@+GLIBC_[0-9.]+/) {
                symbol = substr($0, RSTART, RLENGTH)
                version = symbol
                sub(/.*GLIBC_/, "", version)
                split(version, have, "."); split(limit, want, ".")
                if (have[1] > want[1] || (have[1] == want[1] && have[2] + 0 > want[2] + 0)) print "  " symbol
            }' | sort -u)
        [ -z "$newer" ] || fail "$file needs a newer glibc than $GLIBC:"$'\n'"$newer"
        echo "$file: needs ${newest:-no glibc}, allowed GLIBC_$GLIBC"
    done
}

case "${1:-}" in
amd64) triple=x86_64-unknown-linux-gnu arch=x86_64 machine=x86 ;;
arm64) triple=aarch64-unknown-linux-gnu arch=aarch64 machine=aarch64 ;;
*) fail "which architecture? scripts/build-for.sh amd64|arm64" ;;
esac
need rustup "install Rust with rustup, or apt install rustup"
need readelf "apt install binutils"
need cc "apt install build-essential"
python3 -m pip --version >/dev/null 2>&1 || fail "python3-pip is missing: apt install python3-pip"
[ -n "${LIBCLANG_PATH:-}" ] || [ -f .cargo/config.toml ] || python3 scripts/fetch.py --kind build
bring_tools
rustup target list --installed | grep -qx "$triple" || rustup target add "$triple" ||
    fail "Rust's library for $triple could not be fetched: mend the network, run it again"
python3 scripts/fetch.py --arch "$arch" --kind runtime --to "target/$triple"
build "$machine"
check_glibc "${PROGRAMS[@]/#/target/$triple/release/}" "target/$triple/runtime/libonnxruntime.so"
