# The part of host.sh that makes a key wait on a host, and removes it. It comes on stdin,
# because deliveries are done without it. The shelf is the directory where the key waits.
stage() {
	# Like a proof it gives way: another zone's clients may be locked out meanwhile.
	renice -n 10 -p $$ >$void 2>&1
	[ -d "$dir" ] || fail nodir "$dir"
	see "$file"
	print
	if [ -e "$file" ]; then
		ask "$file"
		cd -P "$dir" 2>$void || fail closed "$dir"
		case $nl$(cut -d " " -f 5 /proc/self/mountinfo)$nl in *"$nl${PWD%/}/$base$nl"*) fail mount "$file" ;; esac
	fi
	[ -d "$shelf" ] || mkdir -m 700 "$shelf" || fail full "${shelf%/*}"
	[ -O "$shelf" ] && [ ! -L "$shelf" ] || fail open "$shelf"
	at=${dir%/}/.keywave.$id dir=$shelf tmp=$staged.$id whole=$head$key$tail into=
	create
	# Nobody else may put something in its place there. A directory can give new files an ACL.
	case $(list "$shelf" "$tmp") in
	d????-??-*"$nl-rw------- "*) ;;
	d????-??-*) hint= ;;
	*) fail open "$shelf" ;;
	esac
	# Where a file can have a second name, it can be renamed to that.
	ln "$tmp" "$at" || fail apart "$dir"
	rm -f "$at"
	# What waits is flushed with its directory, at the end.
	late=1
	make
	mv -f "$tmp" "$staged" || fail moves "$dir"
	trap - 0
	tmp=$staged
	tidy
	flush "$staged" "$dir" || {
		rm -f "$staged"
		fail full "$dir"
	}
	say ack "$fp"
	exit 0
}
unstage() {
	rm -f "$stem$tag".* || fail rests "$shelf"
	say ack
	exit 0
}
"$verb"
