# The part of host.sh that puts in place what waits on a host. It comes on stdin, because
# other deliveries are done without it, and by itself, because a shell reads byte by byte and
# the zone's clients may be locked out meanwhile.

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
	if [ -e "$file" ]; then
		while read -r m n u g l; do
			case $l in
			*"$tmp") tm=$m tu=$u tg=$g ;;
			*) fm=$m fu=$u fg=$g ;;
			esac
		done <<E
$(list "$tmp" "$file")
E
		want=${mode:-${fm%"${fm#???????}"}---}${fm#??????????}
		[ "$tm ${owner:-$tu} ${group:-$tg}" = "$want ${owner:-$fu} ${group:-$fg}" ] || fail none
	fi
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
