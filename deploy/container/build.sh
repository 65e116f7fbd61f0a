#!/usr/bin/env bash
# build.sh DIR: makes the root of the image in DIR. Run it at the root of the tree; VERSION is the
# version. Ids are those of the user of the image.
set -euo pipefail

root=$1
uid=65532
mkdir -p "$root"/{usr/bin,etc/ssl/certs,etc/praefect,var/lib/praefect,tmp}
export CGO_ENABLED=0
go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION:-unknown}" -o "$root/usr/bin/" ./cmd/praefect ./cmd/praefectctl
# For storages and Postgres with a certificate of a public authority.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo "praefect:x:$uid:$uid:praefect:/var/lib/praefect:/sbin/nologin" >"$root/etc/passwd"
echo "praefect:x:$uid:" >"$root/etc/group"
chmod 755 "$root"
chmod 1777 "$root/tmp"
chmod 700 "$root/var/lib/praefect"
chown -R $uid:$uid "$root/var/lib/praefect"
