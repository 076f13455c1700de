# The part of host.sh that makes a key wait on a host. It comes on stdin, because a delivery is
# done without it. The shelf is the directory where the key waits.
stage() {
	# Like a proof it gives way: another zone's clients may be locked out meanwhile.
	renice -n 10 -p $$ >$void 2>&1
	[ -d "$dir" ] || fail nodir "$dir"
	see "$file"
	print
	[ ! -e "$file" ] || ask "$file"
	[ -d "$shelf" ] || mkdir -m 700 "$shelf" || fail full "${shelf%/*}"
	# Nobody else may put something in its place there.
	case $(list "$shelf") in d????-??-*) ;; *) fail open "$shelf" ;; esac
	[ -O "$shelf" ] || fail open "$shelf"
	at=${dir%/}/.keywave.$id dir=$shelf tmp=$staged.$id whole=$head$key$tail into=
	create
	# Where a file can have a second name, it can be renamed to that.
	ln "$tmp" "$at" || fail apart "$dir"
	rm -f "$at"
	make
	mv -f "$tmp" "$staged" || fail moves "$dir"
	trap - 0
	tmp=$staged
	tidy
	flush "$dir"
	say ack "$fp"
	exit 0
}
unstage() {
	rm -f "$stem$tag".* || fail rests "$shelf"
	say ack
	exit 0
}
"$verb"
