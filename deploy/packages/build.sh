#!/usr/bin/env bash
# build.sh PROGRAMS DIR: makes a deb and an rpm in DIR of the programs in PROGRAMS. Run it
# at the root of the tree. VERSION is the version, as git describe prints it.
set -euo pipefail

export PROGRAMS=$1
dir=$2
# A version begins with a digit and has no hyphen; a hash alone sorts before every release.
VERSION=${VERSION#v}
case $VERSION in [0-9]*.*) ;; *) VERSION=0.0~$VERSION ;; esac
export VERSION=${VERSION//-/.}
ARCH=$(go env GOARCH)
export ARCH

MADE=$(mktemp -d)
export MADE
trap 'rm -rf "$MADE"' EXIT
for program in praefect praefectctl git-remote-gitaly; do
	go run ./deploy/packages/manual "$PROGRAMS/$program" | gzip -9n >"$MADE/$program.1.gz"
done
for shell in bash zsh fish; do
	for program in praefect praefectctl; do
		"$PROGRAMS/$program" completion $shell >"$MADE/$program.$shell"
	done
done

mkdir -p "$dir"
for packager in deb rpm; do
	go tool -modfile=deploy/packages/nfpm.mod nfpm package --config deploy/packages/nfpm.yaml --packager $packager --target "$dir"
done
