#!/bin/sh
# After an installation or upgrade of the package, as deb or rpm. It makes the user and
# the rights, and starts, enables and restarts nothing: an instance is a member of a
# quorum, and only its operator knows whether the cluster can spare it now.
set -eu

if ! getent passwd praefect >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/praefect --no-create-home --shell /usr/sbin/nologin praefect
fi

# Only root changes settings; the instance reads them.
chown root:praefect /etc/praefect /etc/praefect/config.toml
chown praefect:praefect /var/lib/praefect /var/log/praefect

running=no
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
	systemctl daemon-reload || true
	if systemctl is-active --quiet praefect.service; then
		running=yes
	fi
fi
if [ "$running" = yes ]; then
	echo "praefect: the instance still runs the former version. Restart one instance after the other,"
	echo "praefect: each when 'praefectctl raft status' says that the cluster can lose one: systemctl restart praefect"
else
	echo "praefect: nothing was started. Write the settings (praefect configuration init), then: systemctl enable --now praefect"
fi
