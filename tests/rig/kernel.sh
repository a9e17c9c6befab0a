#!/usr/bin/env bash
# The rig's kernel and its modules: kernel.sh FOLDER. Taken ready-made from beside the repository where a workplace has
# them there; else built from Debian's source, which takes 12 minutes of one core.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
ready=$here/../../../shared/rig
if [ -x "$folder/linux-uml" ] && [ -d "$folder/modules" ]; then
    exit 0
fi
mkdir -p "$folder"
if [ -f "$ready/linux-uml.xz" ]; then
    rm -rf "$folder/modules"
    cp -r "$ready/modules" "$folder/modules"
    xz -dc "$ready/linux-uml.xz" >"$folder/linux-uml.part"
    chmod +x "$folder/linux-uml.part"
    mv "$folder/linux-uml.part" "$folder/linux-uml"
    exit 0
fi

# Two cores in User-Mode Linux need a kernel of 2026, so the source comes from Debian's unstable, whatever this machine runs.
# The rig is root's already: what building needs is installed.
for tool in flex bison bc make gcc; do
    command -v "$tool" >/dev/null && continue
    apt-get -q update >/dev/null
    apt-get install -q -y --no-install-recommends flex bison bc make gcc libc6-dev xz-utils >/dev/null
    break
done
work=$folder/build
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" && cd "$work" && work=$PWD
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} unstable main" >apt/sources.list
apt=(-q -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update >/dev/null
package=$(apt-cache "${apt[@]}" pkgnames linux-source- | grep -E '^linux-source-[0-9.]+$' | sort -V | tail -n 1)
[ -n "$package" ] || { echo "Debian's unstable has no linux-source package: mend the network, run it again" >&2; exit 1; }
echo "building the rig's kernel from $package and v4l2loopback-dkms: about 12 minutes of one core"
apt-get "${apt[@]}" download "$package" v4l2loopback-dkms
for deb in ./*.deb; do dpkg-deb -x "$deb" files; done
mkdir -p linux && tar -xf files/usr/src/linux-source-*.tar.* -C linux --strip-components=1
make -C linux ARCH=um O="$work/out" defconfig >/dev/null
linux/scripts/kconfig/merge_config.sh -m -O out out/.config "$here/kernel.config" >/dev/null
make -C linux ARCH=um O="$work/out" olddefconfig >/dev/null
make -C out ARCH=um -j"$(nproc)" linux modules >make.log 2>&1 || { tail -n 20 make.log >&2; exit 1; }
make -C out ARCH=um M="$(echo "$work"/files/usr/src/v4l2loopback-*)" modules >>make.log 2>&1 ||
    { tail -n 20 make.log >&2; exit 1; }
mkdir -p ../modules.part
find out files -name '*.ko' -exec cp {} ../modules.part/ \;
strip --strip-debug ../modules.part/*.ko
strip -o ../linux-uml.part out/linux
cd .. && rm -rf modules build && mv modules.part modules && mv linux-uml.part linux-uml
