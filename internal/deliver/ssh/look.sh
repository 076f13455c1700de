# Answers, line by line, what stdin asks; nothing that it does stays.
# Lines that begin with $id are for the caller, all others are noise.
exec 2>&1
umask 077
set -C
id=$1
probe=

say() { printf '\n%s %s\n' "$id" "$*"; }
fail() { say "$@"; exit 1; }

found() {
	case $1 in
	*/*) [ -x "$1" ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}
root_found() (
	PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
	found "$1"
)
writable() {
	[ -d "$1" ] || fail write "the directory $1 does not exist"
	for left in "${1%/}"/.keywave.*; do
		[ ! -e "$left" ] || rm -f "$left"
	done
	probe=${1%/}/.keywave.$id
	printf '%04096d' 0 >"$probe" || fail write "the directory $1 takes no new file"
	rm -f "$probe" || fail write "a file in the directory $1 cannot be removed"
	probe=
}
held() {
	if [ -f "$2" ] && [ -r "$2" ]; then
		content=
		while IFS= read -r line || [ -n "$line" ]; do
			content=$content$line
		done <"$2"
		printf '\n%s held %s ' "$id" "$1"
		printf 'keywave/v1\000%s\000%s' "$1" "$content" | sha256sum
	elif [ -e "$2" ]; then
		fail write "$2 is not a file that we may read"
	elif [ -d "${2%/*}/" ] && [ ! -x "${2%/*}/" ]; then
		fail write "the directory ${2%/*} is not open to us"
	else
		say held "$1" absent
	fi
}

trap '[ -z "$probe" ] || rm -f "$probe"' 0
trap 'exit 1' 1 2 13 15
say begun "${SHELL##*/}"
# What is done here can wait for what the host is for, and for keys that arrive.
renice -n 19 -p $$ >/dev/null 2>&1
# Another program would get what a file holds as an argument.
PATH=/dev/null command -v printf >/dev/null || fail write "sh has no printf of its own; make it dash, bash or busybox"
while read -r what name path; do
	case $what in
	write | reload | verify) found "$path" || fail "missing-$what" "$path" ;;
	root-reload | root-verify) root_found "$path" || fail "missing-${what#root-}" "$path" ;;
	dir) writable "$path" ;;
	file) held "$name" "$path" ;;
	end) say ack; exit 0 ;;
	esac
done
fail cut "only a part of the question arrived"
