# Replaces one key file atomically; the key, then $id, are lines on stdin. A third
# line, once the file is in place, is "reload", or "skip" when a reload that began
# after that has already served this file; no line is "reload".
# Lines that begin with $id are for the caller, all others are noise.
# Each process costs a host a millisecond, so the shell itself reads and writes:
# a key is in its memory, and never in the arguments or the environment of any.
exec 2>&1
umask 077
set -C
id=$1 zone=$2 dir=$3 base=$4 mode=$5 new=$6 expect=$7 reload=$8 verify=$9
file=${dir%/}/$base
temps=${dir%/}/.$base.keywave.
tmp=$temps$id

say() { printf '\n%s %s\n' "$id" "$*"; }
fail() { say "$@"; exit 1; }
flush() { sync "$1" 2>/dev/null || sync; }

# content is what $1 holds, without newlines; it stays as it was: absent or held.
content() {
	there=absent held=
	[ -e "$1" ] || return 0
	there=held
	[ -f "$1" ] && [ -r "$1" ] || fail write "$1 is not a file that we may read"
	while IFS= read -r line || [ -n "$line" ]; do
		held=$held$line
	done <"$1"
}
fingerprint() {
	fp=absent
	[ $there = held ] || return 0
	fp=$(printf 'keywave/v1\000%s\000%s' "$zone" "$held" | sha256sum)
	fp=${fp%"${fp#????????????????}"}
	[ ${#fp} -eq 16 ] || fail write "sha256sum does not work"
}
expected() {
	case " $new $expect " in
	*" $fp "*) ;;
	*) fail refused "$fp" ;;
	esac
}
drop_others() {
	for other in "$temps"*; do
		[ "$other" = "$tmp" ] || rm -f "$other"
	done
}

replace() {
	trap 'rm -f "$tmp"' 0
	trap 'exit 1' 1 2 13 15
	was=$there$held
	printf '%s\n' "$key" >"$tmp" || fail write "$tmp could not be written"
	content "$tmp"
	[ "$held" = "$key" ] || fail write "$tmp does not hold what was written"
	[ "$mode" = 0600 ] || chmod "$mode" "$tmp" || fail write "$tmp could not be given mode $mode"
	flush "$tmp" || fail write "$tmp could not be flushed to disk"
	# In this order: of two attempts at once, the later to look either has
	# removed the other's temporary file or sees what the other put in place.
	drop_others
	content "$file"
	if [ "$there$held" != "$was" ]; then
		fingerprint
		expected
	fi
	mv -f "$tmp" "$file" || fail write "$file could not be replaced"
	# The key has landed: a connection that breaks now must not stop the reload.
	trap - 0
	trap : 1 2 13 15
	flush "$dir"
}

say begun
# Another program would get the key as an argument.
PATH=/dev/null command -v printf >/dev/null || fail write "sh has no printf of its own; make it dash, bash or busybox"
[ -d "$dir" ] || fail write "the directory $dir does not exist"
IFS= read -r key && IFS= read -r end && [ "$end" = "$id" ] || fail cut "only a part of the key arrived"
content "$file"
fingerprint
expected
if [ "$fp" = "$new" ]; then
	drop_others
else
	replace
fi
say stage reload
order=reload
[ -z "$reload" ] || IFS= read -r order
if [ -n "$reload" ] && [ "$order" != skip ]; then
	sh -c "$reload" </dev/null || fail reload "$?"
fi
say stage verify
if [ -n "$verify" ]; then
	sh -c "$verify" </dev/null || fail verify "$?"
fi
content "$file"
fp=$new
[ "$there$held" = "held$key" ] || fingerprint
say ack "$fp"
