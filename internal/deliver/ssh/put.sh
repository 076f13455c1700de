# Replaces one key file atomically; the key, without a newline, is on stdin.
# Lines that begin with $id are for the caller, all others are noise.
exec 2>&1
umask 077
set -C
id=$1 zone=$2 dir=$3 base=$4 mode=$5 new=$6 expect=$7 reload=$8 verify=$9
file=${dir%/}/$base
temps=${dir%/}/.$base.keywave.
tmp=$temps$id

say() { printf '\n%s %s\n' "$id" "$*"; }
fail() { say "$@"; exit 1; }

fingerprint() {
	fp=absent
	[ -e "$1" ] || return 0
	[ -f "$1" ] && [ -r "$1" ] || fail write "$1 is not a file that we may read"
	fp=$({ printf 'keywave/v1\000%s\000' "$zone"; exec tr -d '\n' <"$1"; } 2>/dev/null | sha256sum)
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
flush() { sync "$1" 2>/dev/null || sync; }

replace() {
	trap 'rm -f "$tmp"' 0
	trap 'exit 1' 1 2 13 15
	{ cat && echo; } >"$tmp" || fail write "$tmp could not be written"
	fingerprint "$tmp"
	[ "$fp" = "$new" ] || fail cut "only a part of the key arrived"
	chmod "$mode" "$tmp" || fail write "$tmp could not be given mode $mode"
	flush "$tmp" || fail write "$tmp could not be flushed to disk"
	# In this order: of two attempts at once, the later to look either has
	# removed the other's temporary file or sees what the other put in place.
	drop_others
	fingerprint "$file"
	expected
	mv -f "$tmp" "$file" || fail write "$file could not be replaced"
	# The key has landed: a connection that breaks now must not stop the reload.
	trap - 0
	trap : 1 2 13 15
	flush "$dir"
}

say begun
[ -d "$dir" ] || fail write "the directory $dir does not exist"
fingerprint "$file"
expected
if [ "$fp" = "$new" ]; then
	drop_others
else
	replace
fi
say stage reload
if [ -n "$reload" ]; then
	sh -c "$reload" </dev/null || fail reload "$?"
fi
say stage verify
if [ -n "$verify" ]; then
	sh -c "$verify" </dev/null || fail verify "$?"
fi
fingerprint "$file"
say ack "$fp"
