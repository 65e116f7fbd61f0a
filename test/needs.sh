#!/usr/bin/env bash
# Finds what the tests and the demo need beside Go, git and make. What is
# missing is installed when we are root on a Debian, else named.
set -euo pipefail

missing=()

have_postgres() {
	command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

have_postgres || missing+=(postgresql)
command -v git >/dev/null || missing+=(git)
# Debian keeps it in /usr/sbin, which not everybody has on the path.
PATH=$PATH:/usr/sbin command -v haproxy >/dev/null || missing+=(haproxy)
PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null || missing+=(pgbouncer)
# Pages of docs/operations look at /readyz with it.
command -v curl >/dev/null || missing+=(curl)
# The web console is tested in it.
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium fonts-dejavu-core)
# It judges the unit file.
command -v systemd-analyze >/dev/null || missing+=(systemd)
# They judge the packages and the manual pages in them.
command -v rpm >/dev/null || missing+=(rpm)
command -v man >/dev/null || missing+=(man-db)
PATH=$PATH:/usr/sbin command -v logrotate >/dev/null || missing+=(logrotate)
# They read the completion scripts, and complete by them.
command -v zsh >/dev/null || missing+=(zsh)
command -v fish >/dev/null || missing+=(fish)
[ -e /usr/share/bash-completion/bash_completion ] || missing+=(bash-completion)
# It judges the playbook.
command -v ansible-playbook >/dev/null || missing+=(ansible-core)
# It judges the rules for it, and evaluates them on a cluster.
command -v prometheus >/dev/null || missing+=(prometheus)
# Network namespaces and their faults are for root alone.
if [ "$(id -u)" = 0 ]; then
	command -v ip >/dev/null || missing+=(iproute2)
	command -v iptables >/dev/null || missing+=(iptables)
	command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
	# It makes the roots in which the package is installed.
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
fi
# Race-detector builds link with the C compiler.
[ "${CGO_ENABLED:-}" != 1 ] || command -v cc >/dev/null || missing+=(gcc libc6-dev)

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}"
	exit 0
fi
echo "missing: ${missing[*]}. Install them first, on Debian with: sudo apt-get install ${missing[*]}" >&2
exit 1
