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

# Any source from 6.1 on has what the rig needs; the newest that this Debian knows is taken.
for tool in flex bison bc make gcc; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt install build-essential flex bison bc" >&2; exit 1; }
done
work=$folder/build
mkdir -p "$work" && cd "$work"
package=$(apt-cache pkgnames linux-source- | grep -E '^linux-source-[0-9.]+$' | sort -V | tail -n 1)
[ -n "$package" ] || { echo "no linux-source package is known: apt update" >&2; exit 1; }
echo "building the rig's kernel from $package and v4l2loopback-dkms: about 10 minutes"
apt-get download -q "$package" v4l2loopback-dkms
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
