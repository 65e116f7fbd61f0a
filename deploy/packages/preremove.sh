#!/bin/sh
# Before the package is removed: dpkg says "remove", rpm counts the versions that stay.
# An upgrade leaves the instance alone.
set -eu

case "${1:-}" in
remove | 0)
	if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
		# The instance hands leadership over and finishes what was begun.
		systemctl disable --now praefect.service || true
	fi
	;;
esac
