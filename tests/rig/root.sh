#!/usr/bin/env bash
# A Debian as small as it goes, for the rig's guest: root.sh FOLDER. It is kept until this script changes.
set -euo pipefail
folder=$1
if ! command -v mmdebstrap >/dev/null; then
    echo "mmdebstrap is missing: apt install mmdebstrap" >&2
    exit 1
fi
# The guest runs this host's programs, so it is this host's release.
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mark=$folder.made-by
if [ -d "$folder" ] && cmp -s "$0" "$mark"; then
    exit 0
fi
rm -rf "$folder" "$mark"
tar=$folder.tar
mmdebstrap --quiet --variant=minbase --include=systemd-sysv,dbus,udev,kmod,libstdc++6,procps,tzdata \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/var/cache/apt/*' "$release" "$tar"
mkdir -p "$folder"
tar -xf "$tar" -C "$folder"
rm "$tar"
# What a guest without a network, a screen or a user has no use for; each costs a part of a second at every start.
for unit in systemd-networkd systemd-resolved systemd-timesyncd systemd-logind systemd-pcrphase systemd-pcrphase-sysinit \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap fstrim.timer \
    getty@tty1 console-getty systemd-tmpfiles-clean.timer motd-news.timer systemd-random-seed systemd-update-utmp; do
    case $unit in *.timer) ;; *) unit=$unit.service ;; esac
    ln -sf /dev/null "$folder/etc/systemd/system/$unit"
done
# The package's manuals are part of what is tested.
rm -f "$folder"/etc/dpkg/dpkg.cfg.d/*mmdebstrap*
: >"$folder/etc/fstab"
# A guest that lives for minutes: dpkg need not wait for its disk after each file.
echo force-unsafe-io >"$folder/etc/dpkg/dpkg.cfg.d/rig"
echo door >"$folder/etc/hostname"
cat >"$folder/etc/systemd/system/rig.service" <<'UNIT'
[Unit]
Description=The rig's tests
After=multi-user.target

[Service]
Type=oneshot
# The folder that host and guest share stands on the kernel's command line.
ExecStartPre=/bin/sh -c 'mount -t hostfs none /mnt -o "$(tr " " "\\n" </proc/cmdline | sed -n s/^rig.shared=//p)"'
ExecStart=/mnt/gate-rig guest
ExecStopPost=systemctl poweroff --force --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../rig.service "$folder/etc/systemd/system/multi-user.target.wants/rig.service"
cp "$0" "$mark"
