#!/bin/sh
# After the package was removed. The replicated state, the secrets and their user stay: only
# an operator knows whether another instance has them too.
set -eu

case "${1:-}" in
remove | purge | 0)
	if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
		systemctl daemon-reload || true
	fi
	if [ -n "$(ls -A /var/lib/praefect 2>/dev/null)" ]; then
		echo "praefect: /var/lib/praefect has the replicated state of this instance, and stays."
		echo "praefect: remove it after 'praefectctl raft remove' on another instance."
	fi
	;;
esac
