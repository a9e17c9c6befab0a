#!/usr/bin/env bash
# What systemd itself says of the units, where it is installed. It exits 0 on many complaints, so any output is a fault.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v systemd-analyze >/dev/null; then
    echo "systemd-analyze is not installed: the units are not checked here (apt install systemd)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for unit in systemd/*.service; do
    # The installed program is not there on a build machine; everything else is judged as it stands.
    sed 's#/usr/bin/gate-daemon#/bin/true#' "$unit" >"$work/${unit##*/}"
done
said=$(systemd-analyze verify --man=no --recursive-errors=no "$work"/*.service 2>&1) || said="$said
systemd-analyze failed"
if command -v systemd-sysusers >/dev/null; then
    for users in "$PWD"/systemd/*.sysusers.conf; do
        told=$(systemd-sysusers --dry-run "$users" 2>&1) || said+="$told"
    done
fi
if [ -n "$said" ]; then
    printf 'systemd units:\n%s\n' "$said" >&2
    exit 1
fi
echo "systemd units: fine"
