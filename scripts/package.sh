#!/usr/bin/env bash
# Makes target/debian/face-gate_VERSION_ARCH.deb for one kind of machine, amd64 or arm64; without a name for this one.
#
#  build-for.sh ──▶ target/TRIPLE/release, runtime ──▶ target/deb ──▶ cargo deb ──▶ lintian
#                   models/, models/cache ─────────────▲   ▲
#                   man pages, completions: each program ──┘  what stands in gate-daemon/Cargo.toml, [package.metadata.deb]
set -euo pipefail
cd "$(dirname "$0")/.."

arch=${1:-$(dpkg --print-architecture)}
case $arch in
amd64) triple=x86_64-unknown-linux-gnu ;;
arm64) triple=aarch64-unknown-linux-gnu ;;
*) echo "no package for \"$arch\": it is amd64 or arm64" >&2 && exit 2 ;;
esac
built=target/$triple
stage=target/deb
programs=(gate-daemon enroll-tool gate-lab)
version=$(sed -nE '/^\[workspace.package\]/,/^\[/ s/^version = "(.*)"/\1/p' Cargo.toml)

head -1 packaging/debian/changelog | grep -qF "face-gate ($version)" || {
    echo "packaging/debian/changelog does not begin with version $version of Cargo.toml: say there what is new" >&2
    exit 1
}
scripts/build-for.sh "$arch"

rm -rf "$stage"
mkdir -p "$stage"/{bin,models,samples,sysusers,tmpfiles}

# Rust's own objcopy knows every machine; binutils' strip only this one's.
objcopy=$(rustc --print target-libdir)/../bin/rust-objcopy
for program in "${programs[@]}"; do
    LD_LIBRARY_PATH=$(rustc --print sysroot)/lib "$objcopy" --strip-all "$built/release/$program" "$stage/bin/$program"
done
cp "$built"/runtime/{libonnxruntime.so,ThirdPartyNotices.txt} "$stage/"
scripts/notices.sh "$triple" >"$stage/crates.txt"
scripts/sbom.py "$arch" >"$stage/sbom.cdx.json"
cp systemd/face-gate.sysusers.conf "$stage/sysusers/face-gate.conf"
cp systemd/face-gate.tmpfiles.conf "$stage/tmpfiles/face-gate.conf"
for card in models/*.toml; do
    weights=$(sed -nE 's/^file = "([^"]+)".*/\1/p' "$card")
    [ -n "$weights" ] || continue # assets.toml is no card
    cp "$card" "$stage/models/"
    if [ -f "models/$weights" ]; then cp "models/$weights" "$stage/models/"; else cp "models/cache/$weights" "$stage/models/"; fi
done

# What `gate-daemon bench` walks up with: one person on two pictures.
cp models/cache/samples/{obama,obama2}.jpg "$stage/samples/"

# Each program describes itself: directly, or emulated where it is made for another machine.
describe() {
    "$stage/bin/$1" manual "$stage/manual" 2>/dev/null ||
        qemu-aarch64-static -L /usr/aarch64-linux-gnu "$stage/bin/$1" manual "$stage/manual"
}
for program in "${programs[@]}"; do
    describe "$program" || {
        echo "$program for $arch does not run here: apt install qemu-user-static libc6-arm64-cross" >&2
        exit 1
    }
done

# What the package says it needs, and what the programs ask the C library for.
said=$(sed -nE 's/^depends = "libc6 \(>= ([0-9.]+)\).*/\1/p' gate-daemon/Cargo.toml)
needs=$(readelf --wide --dyn-syms "$stage"/bin/* "$stage/libonnxruntime.so" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -1)
needs=${needs#GLIBC_}
if [ "$(printf '%s\n' "$said" "$needs" | sort -V | tail -1)" != "$said" ]; then
    echo "the programs need glibc $needs, and the package says $said: see scripts/build-for.sh" >&2
    [ -n "${GLIBC_MAY_DIFFER:-}" ] || exit 1
fi

# --fast: half the time, and 4 % larger; weights do not compress.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
target/tools/bin/cargo-deb deb --quiet --fast --package gate-daemon --no-build --no-strip --target "$triple" \
    --output "target/debian/face-gate_${version}_$arch.deb"
cp "$stage/sbom.cdx.json" "target/debian/face-gate_${version}_$arch.cdx.json"
if command -v lintian >/dev/null; then
    lintian --fail-on error "target/debian/face-gate_${version}_$arch.deb"
else
    echo "lintian is not installed: the package is not examined here (apt install lintian)"
fi
