#!/bin/sh
# Every hook of every repository. It asks the storage server, at the other end
# of the descriptor in TEST_GITALY_HOOKS, whether git may go on; where the
# server says so it runs the repository's own hooks of that name.

fd=${TEST_GITALY_HOOKS?no storage server to ask}
hook=${0##*/}

# Empty: a repository's own hook runs git, and what that does is nobody's vote.
[ -n "$fd" ] || exit 0

# ask sends its arguments, and standard input as the lines after them, and ends
# the hook if the answer is no. The answer is left in $verdict.
ask() {
	{ printf '%s\n' "$*"; cat; printf '.\n'; } >&"$fd" || exit 1
	read -r verdict reason <&"$fd" || exit 1
	if [ "$verdict" = no ]; then
		[ -z "$reason" ] || printf '%s\n' "$reason" >&2
		exit 1
	fi
}

if [ "$hook" = reference-transaction ]; then
	case $1 in
	prepared | committed) ask "$hook" "$1" ;;
	esac
	exit 0
fi

input=
[ "$hook" = update ] || input=$(cat)
ask "$hook" </dev/null
[ "$verdict" = run ] || exit 0
status=0
for own in custom_hooks/"$hook" custom_hooks/"$hook".d/*; do
	{ [ -f "$own" ] && [ -x "$own" ]; } || continue
	if [ -n "$input" ]; then
		printf '%s\n' "$input"
	fi | TEST_GITALY_HOOKS= "$own" "$@"
	status=$?
	[ "$status" = 0 ] || break
done
ask "$hook" "$status" </dev/null
exit 0
