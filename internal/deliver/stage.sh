# The part of host.sh for keys that wait on a host. It comes on stdin, because other
# deliveries are done without it. The shelf is the directory where the key waits.
stage() {
	# Like a proof it gives way: another zone's clients may be locked out meanwhile.
	renice -n 10 -p $$ >$void 2>&1
	[ -d "$dir" ] || fail nodir "$dir"
	see "$file"
	print
	[ -n "$hint" ] || [ ! -e "$file" ] || ask "$file"
	[ -d "$shelf" ] || mkdir -m 700 "$shelf" || fail full "${shelf%/*}"
	# Nobody else may put something in its place there.
	case $(list "$shelf") in d????-??-*) ;; *) fail open "$shelf" ;; esac
	[ -O "$shelf" ] || fail open "$shelf"
	at=${dir%/}/.keywave.$id dir=$shelf tmp=$staged.$id whole=$head$key$tail into=
	create
	# Where a file can have a second name, it can be renamed to that.
	ln "$tmp" "$at" || fail apart "$dir"
	rm -f "$at"
	# What waits is flushed with its directory, at the end.
	flush() { :; }
	make
	mv -f "$tmp" "$staged" || fail moves "$dir"
	trap - 0
	tmp=$staged
	tidy
	LC_ALL=C sync "$staged" "$dir" 2>$void || sync
	say ack "$fp"
	exit 0
}
unstage() {
	rm -f "$stem$tag".* || fail rests "$shelf"
	say ack
	exit 0
}
# activate takes the key that waits, if it is the right one and the live file is still as much
# ours as it was. One process says what both hold.
activate() {
	lies
	tmp=$staged
	[ -f "$tmp" ] && [ ! -L "$tmp" ] && [ -r "$tmp" ] || {
		print
		[ "$there$fp" = "held$new" ] || fail none
		key=$held
		return
	}
	for l in O$owner G$group; do
		[ ${#l} = 1 ] && [ -e "$file" ] || continue
		[ -$l "$file" ]
		n=$?
		[ -$l "$tmp" ]
		[ $? = $n ] || fail none
	done
	m=$held t=$there
	pour 3 && see "$tmp" && pour 4 && u=$(in_c sha256sum ${fds}3 ${fds}4 3<&3 4<&4) || {
		held=$m u=$(hash)$nl
		see "$tmp"
		u=$u$(hash)
	}
	case $there${u#*"$nl"} in "held$new"*) ;; *) fail none ;; esac
	key=$held held=$m there=$t
	print $u
}
"$verb"
