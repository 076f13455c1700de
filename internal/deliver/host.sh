# What is done on a host. One script proves that the host can take keys, says what it
# holds, and puts a key in place, so that a proof is the operation. Its text is the whole
# command line; everything else comes as lines on stdin: an attempt's name, what to do (own
# is a put of what the file holds already, activate one of what waits on the shelf, a
# directory beside the file), the host's settings (a text of several lines stands behind
# their number), zones, a text that is run for staged keys (stage.sh, activate.sh), and for a
# put the key. Lines of output that begin with $id are for the caller, others are noise.
# Each process costs a host a millisecond, so the shell itself reads and writes: a key is
# in its memory, and never in the arguments or the environment of any.
exec 2>&1
umask 077
set -C
unset TIME_STYLE
nl="
"
mark="{zone}"
void=/dev/null
fds=/proc/self/fd/

say() { printf "\n%s %s\n" "$id" "$*"; }
fail() { say "$@"; exit 1; }
words() { printf "keywave/v1\000%s\000%s" "$zone" "$held"; }
# pour makes descriptor $1 a pipe that holds the words of a hash, without a process: a
# short here-document is a pipe, and a pipe that is opened by its name can be written to.
pour() {
	[ ${#held} -lt 999 ] && eval "command exec $1<<E
.
E" && [ -p $fds$1 ] && read -r l <&$1 && words 2>$void >$fds$1
}
# hash is for a subshell.
hash() {
	pour 3 && in_c sha256sum <&3
	words | sha256sum
}
# flush makes files last. An older sync takes no names: that one makes everything last, and
# does not say whether it could.
flush() {
	m=$(in_c sync "$@" 2>&1) || case $m in
	*syncing* | *output* | *space* | *quota*) return 1 ;;
	*) sync ;;
	esac
}
get() { IFS= read -r "$1" || fail cut; }
text() {
	get n
	t=
	while [ "$n" -gt 0 ]; do
		get l
		t=$t$nl$l n=$((n - 1))
	done
	t=${t#"$nl"}
}
# in_c makes of a subshell a program whose words we read.
in_c() { LC_ALL=C exec "$@"; }
list() { in_c ls -ldn "$@"; }
# aged removes a temporary file that belongs to nobody any more.
aged() { [ -z "$(find "$1" -prune -mmin +60 2>$void)" ] || rm -f "$1"; }

# locate finds a zone's file; a link leads to the file that is replaced, except where root
# would follow one that somebody else may have put there.
locate() {
	file= rest=$path hops=
	while :; do
		case $rest in *"$mark"*) ;; *) break ;; esac
		file=$file${rest%%"$mark"*}$1 rest=${rest#*"$mark"}
	done
	file=$file$rest
	while [ -L "$file" ]; do
		dir=${file%/*}/ hops=x$hops
		[ ${#hops} -lt 9 ] || fail links "$file"
		if [ "$(id -u)" = 0 ]; then
			read -r m n u rest <<E
$(list "$dir")
E
			case $u$m in 0?????-??-*) ;; *) fail link "$file" ;; esac
		fi
		rest=$(readlink "$file") || fail links "$file"
		case $rest in /*) file=$rest ;; *) file=$dir$rest ;; esac
	done
	dir=${file%/*} base=${file##*/}
	dir=${dir:-/}
}

# see is what $1 holds, without newlines: absent, held (in the format of the fleet
# file) or other.
see() {
	there=absent held=
	[ -e "$1" ] || return 0
	[ -f "$1" ] && [ -r "$1" ] || fail unreadable "$1"
	while IFS= read -r l || [ -n "$l" ]; do
		held=$held$l
	done <"$1"
	there=other
	case $held in
	"$pre"*"$post") there=held held=${held#"$pre"} held=${held%"$post"} ;;
	esac
}

# dress gives $tmp, which is still empty, what hangs on $file and what the fleet file says.
dress() {
	set -- "$tmp"
	if [ -e "$file" ]; then
		set -- "$tmp" "$file"
		l=mode,ownership,xattr
		[ ! -e /sys/fs/selinux/enforce ] || l=$l,context
		m=$(in_c cp --attributes-only --preserve=$l "$file" "$tmp" 2>&1) || case $m in
		*" option "*) say unseen ;;
		*) fail keep "${m##*: }: $file" ;;
		esac
	fi
	[ -z "$owner" ] || chown "$owner" "$tmp" || fail owner "$owner"
	[ -z "$group" ] || chgrp "$group" "$tmp" || fail group "$group"
	for try in 1 2; do
		fm=-rw------- fu= fg=
		while read -r m n u g l; do
			case $l in
			*"$tmp") tm=$m tu=$u tg=$g ;;
			*) fm=$m fu=$u fg=$g ;;
			esac
		done <<E
$(list "$@")
E
		[ -z "$owner" ] || fu=
		[ -z "$group" ] || fg=
		want=${mode:-${fm%"${fm#???????}"}---}
		m=${tm%"${tm#??????????}"}
		[ "$m${fu:+$tu}${fg:+$tg}" != "$want$fu$fg" ] || break
		[ $try = 1 ] || fail mode "$file"
		[ "$tu" = "${fu:-$tu}" ] || chown "$fu" "$tmp" || fail owner "$fu $file"
		[ "$tg" = "${fg:-$tg}" ] || chgrp "$fg" "$tmp" || fail group "$fg $file"
		u= g=
		for n in r w x; do
			case ${want%??????} in *$n*) u=$u$n ;; esac
			case ${want#????} in *$n*) g=$g$n ;; esac
		done
		[ "$m" = "$want" ] || chmod "u=$u,g=$g,o=" "$tmp" || fail mode "$file"
	done
	[ $# = 1 ] || [ "${tm#??????????}" = "${fm#??????????}" ] || fail keep "acl: $file"
}
gone() { rm -f "$tmp" "$tmp.moved"; }
# create makes $tmp, whose descriptor 9 stays good whoever may write the file later.
create() {
	trap gone 0
	trap "exit 1" 1 2 13 15
	true >"$tmp" || fail full "$dir"
	exec 9<>"$tmp"
}
# fill writes and makes last what $tmp holds.
fill() {
	printf "$1" "$2" >&9 || fail full "$dir"
	exec 9>&-
	[ -n "$late" ] || flush "$tmp" || fail full "$dir"
}

# rehearse does beside $file what a put does to it, once for all files of a kind: new, old
# or in-place. What an earlier proof did and said is given back as $t. A put dresses a new file always, and an old one that is odd.
rehearse() {
	case $seen in *"$nl$odd$*$nl"*) return 0 ;; esac
	seen=$seen$odd$*$nl
	for l in "${dir%/}"/.keywave.*; do
		[ ! -e "$l" ] || aged "$l"
	done
	tmp=${dir%/}/.keywave.$id
	create
	[ -G "$tmp" ] || odd=1
	case $1$odd in new* | old1) dress ;; esac
	fill "%04096d" 0
	mv -f "$tmp" "$tmp.moved" && rm -f "$tmp.moved" || fail moves "$dir"
	trap - 0
	say kind "$odd$*"
}
# ask asks the kernel about files that are there: one rule lets us remove a file or
# replace it. Asked to remove it as if it were a directory, the kernel tells whether the
# rule lets us, and then does not do it.
ask() {
	m=$(in_c rmdir "$@" 2>&1) n=
	while read -r l; do
		case $l in *": Not a directory") ;; *) n=1 ;; esac
	done <<E
$m
E
	[ -n "$n" ] || return 0
	for file in "$@"; do
		m=$(in_c rmdir "$file" 2>&1)
		case $m in *": Not a directory" | *": No such "*) continue ;; esac
		[ ! -k "${file%/*}/" ] || [ -O "$file" ] || fail sticky "$file"
		l=$(lsattr -d "$file" 2>$void)
		fail locked "${l%% *} ${m##*: }: $file"
	done
}
# sums says what the poured files hold: one process is for all of them.
sums() {
	set -- $poured
	[ $# != 0 ] || return 0
	u=$(eval "exec sha256sum $inputs")
	while read -r l m; do
		say $1 $2 $l
		shift 2
	done <<E
$u
E
	fd=3 inputs= poured=
}
look() {
	last= odd= mounts=
	fd=3 inputs= poured=
	[ "$verb" != prove ] || [ "$write" = in-place ] || mounts=$nl$(cut -d " " -f 5 /proc/self/mountinfo)$nl
	set --
	for zone in $zones; do
		locate "$zone"
		if [ "$verb" = locate ]; then
			# Where a file is: its directory's inode, and what is mounted there.
			[ "$dir" = "$last" ] || l=$(df -P "$dir" 2>$void) l=${l##*"$nl"} at="$(ls -di "$dir/.") ${l%% *}" last=$dir
			say at "$zone $at"
			continue
		fi
		see "$file"
		[ "$verb" != held ] || for l in "${shelf:-${dir%/}/.keywave}/$zone".*; do
			[ ! -e "$l" ] || say waits "$zone"
		done
		if [ $there = absent ]; then
			[ ! -d "$dir" ] || [ -x "$dir" ] || fail closed "$dir"
			say held "$zone" absent
		else
			if pour $fd; then
				poured="$poured $there $zone" inputs="$inputs $fds$fd $fd<&$fd" fd=$((fd + 1))
				[ $fd != 9 ] || sums
			else
				say $there "$zone" "$(hash)"
			fi
		fi
		[ "$verb" = prove ] || continue
		if [ "$dir" != "$last" ]; then
			last=$dir
			[ -d "$dir" ] || fail nodir "$dir"
			cd -P "$dir" 2>$void || fail closed "$dir"
			[ ! -O / ] || [ -O . ] || say foreign "$dir"
		fi
		l=${PWD%/}/$base
		while :; do
			case $l in *" "*) l="${l%% *}\040${l#* }" ;; *) break ;; esac
		done
		case $mounts in *"$nl$l$nl"*) fail mount "$file" ;; esac
		if [ $there = absent ]; then
			rehearse new "$dir"
		elif [ "$write" = in-place ]; then
			true 1<>"$file" || fail locked " $file"
			rehearse "$write" "$dir"
		else
			set -- "$@" "$file"
		fi
	done
	sums
	[ $# != 0 ] || return 0
	ask "$@"
	# Of a file that is what a new one in its directory would be by itself, a put within the
	# next minute need not look again. A directory can give new files an ACL.
	l=$(
		for l in "$@"; do
			set -- "$@" "${l%/*}/."
		done
		in_c getfattr -m - -- "$@" 2>$void
	) && [ -z "$l$owner$group" ] || odd=1
	rows=$(list "$@")
	while read -r m n u g l x x x file; do
		[ "$m${mode:-$m}" = "-rw--------rw-------" ] && [ -O "$file" ] && [ -G "$file" ] || odd=1
	done <<E
$rows
E
	while read -r m n u g l x x x file; do
		dir=${file%/*}
		dir=${dir:-/}
		rehearse old "$dir $m $u $g"
	done <<E
$rows
E
	[ -n "$odd" ] || say plain
}

print() {
	fp=absent
	[ $there != absent ] || return 0
	fp=${1:-$(hash)}
	fp=${fp%"${fp#????????????????}"}
}
expected() {
	case " $new $expect " in *" $fp "*) return 0 ;; esac
	# The key itself may stand there in another format than the fleet file's.
	case $there$held in other*"$key"*) ;; *) fail refused "$fp" ;; esac
}
# tidy removes what other attempts have left, except $tmp: keys on their way, and keys that
# wait on the shelf.
tidy() {
	for l in "$temps"* "$stem"*; do
		case $l in
		"$tmp" | "$temps*" | "$stem*") ;;
		"$temps$tag".* | "$stem$tag".*) rm -f "$l" ;;
		*) aged "$l" ;;
		esac
	done
}
# make makes $tmp the new file, whole.
make() {
	[ -n "$into" ] || { [ "$hint" ] && [ -O "$file" ] && [ -G "$file" ]; } || dress
	fill "%s" "$whole"
	see "$tmp"
	[ "$there$held" = "held$key" ] || fail full "$dir"
}
lies() {
	[ -d "$dir" ] || fail nodir "$dir"
	see "$file"
}
replace() {
	was=$there$held into=
	[ "$write" != in-place ] || [ $there = absent ] || into=1
	if [ "$verb" = activate ]; then
		see "$tmp"
		[ "$there$held" = "held$key" ] || fail none
	else
		create
		make
	fi
	# A connection that breaks from here on must not stop the reload.
	trap : 1 2 13 15
	# In this order: of two attempts at once, the later to look either has
	# removed the other's temporary file or sees what the other put in place.
	tidy
	see "$file"
	if [ "$there$held" != "$was" ]; then
		print
		expected
	fi
	if [ -n "$into" ]; then
		[ -e "$tmp" ] && printf "%s" "$whole" 1<>"$file" || fail torn "$file"
		see "$file"
		# What it held was longer.
		[ "$there$held" = "held$key" ] || printf "%s" "$whole" >|"$file" || fail torn "$file"
		flush "$file" || fail full "$dir"
		rm -f "$tmp"
	else
		LC_ALL=C mv -f "$tmp" "$file" || fail moves "$dir"
	fi
	trap - 0
	lasts
}
# What is in place lasts before it is acknowledged; the reload need not wait for that.
lasts() {
	LC_ALL=C sync "$dir" 2>$void &
	synced=$!
}
# fits says that the file is as the fleet file says.
fits() {
	hint=
	case $([ -z "$mode" ] || list "$file") in
	"$mode"*) [ -z "$owner$group" ] || [ "$(find "$file" -prune ${owner:+-user "$owner"} ${group:+-group "$group"})" ] ;;
	*) false ;;
	esac
}

# One reload runs at a time. Each is a file in $lock, made before it begins and completed
# when it ends: who runs it, since when, and for which keys. A reload that begins when a
# key is in place serves that key, whoever runs it.
clock() {
	read -r now l 2>$void </proc/uptime || now=$(date +%s)
	now=${now%.*}
}
# proc reads what /proc knows of a process: state, group and start.
proc() {
	read -r l 2>$void <"/proc/$1/stat" || return 1
	set -- ${l##*) }
	state=$1 pgrp=$3 begun=${20}
}
newest() {
	run=
	for l in "$lock"/1*; do
		[ ! -e "$l" ] || run=$l
	done
}
# examine reads a run: whether it goes on, how it ended, and whether it is for our key.
examine() {
	pid= over= mine=
	while read -r m n u g l; do
		case $m in
		end) over="$n $u" ;;
		for) [ "$n $u$anew" != "$zone $new" ] || mine=1 ;;
		*) pid=$m start=$n lead=$u since=$g ;;
		esac
	done <"$run"
	[ -z "$over" ] || return 0
	# It may be made, and not written yet.
	if [ -z "$pid" ]; then
		blank=x$blank since=$now
		[ ${#blank} -lt 4 ] || over=lost
	elif proc "$pid"; then
		[ "$begun" = "$start" ] && [ "$state" != Z ] || over=lost
	else
		kill -0 "$pid" 2>$void || over=lost
	fi
}
# finish ends a run that is older than a delivery may last, with its process group; not
# where a part of it is not ours to end.
finish() {
	for l in /proc/[0-9]*; do
		n=${l#/proc/}
		proc "$n" && [ "$pgrp" = "$lead" ] || continue
		[ "$n" != $$ ] && kill -0 "$n" 2>$void || fail stuck $age "$n"
	done
	kill -TERM "-$lead"
	sleep 1
	kill -KILL "-$lead" 2>$void
}
perform() {
	m=0 n=reload
	[ -z "$reload" ] || sh -c "$reload" <$void || m=$?
	if [ $m = 0 ] && [ -n "$verify" ]; then
		n=verify
		say stage verify
		sh -c "$verify" <$void || m=$?
	fi
	[ -z "$run" ] || printf "end %s %s\n" $n $m >>"$run"
	[ $m = 0 ] || fail $n $m
}
serve() {
	[ -d "$lock" ] || mkdir "$lock" 2>$void
	run=
	[ -O "$lock" ] && [ ! -L "$lock" ] || { perform && return; }
	clock
	asked=$now blank= join=
	newest
	first=$run
	while :; do
		[ -z "$run" ] || examine
		if [ -z "$run" ] || [ -n "$over" ]; then
			if [ "$run" != "$first" ] || [ "$run" = "$join" ]; then
				case $over in *" 0") return 0 ;; esac
			fi
			n=${run##*/}
			run=$lock/$((${n:-1000000000} + 1))
			if true 2>$void >"$run"; then
				proc $$ || begun= pgrp=$$
				printf "%s\n" "$$ $begun $pgrp $now" "for $zone $new" >>"$run"
				perform
				return
			fi
			[ -e "$run" ] || { run= && perform; return; }
			continue
		fi
		if [ "$run" != "$join" ]; then
			[ "$run" = "$first" ] && [ -z "$mine" ] || { join=$run && echo "for $zone $new" >>"$run"; }
		fi
		age=$((now - since))
		[ $age -le "$life" ] || finish
		[ $((now - asked)) -lt "$limit" ] || fail busy $age "$pid"
		say stage wait || exit
		sleep 0.1 2>$void || sleep 1
		clock
		newest
	done
}

# What runs before us, such as a ~/.bashrc, may have read lines that were ours.
IFS= read -r id
[ ${#id} = 16 ] || exit 97
say begun "${SHELL##*/}"
# Another program would get a key as an argument.
PATH=$void command -v printf >$void || fail noprintf
for l in verb tag path shelf owner group mode write lock limit life pre post; do
	get "$l"
done
text
head=$t
text
tail=$t
text
reload=$t
text
verify=$t
get zones
text
case $verb in prove | held | locate)
	# It gives way to the traffic, but a busy host must get to it in time.
	renice -n 10 -p $$ >$void 2>&1
	seen=$nl$t$nl
	while get m && [ "$m" != end ]; do
		text
		u=$(eval "$t" 2>&1 <$void)
		say asked "$m" $?
		while read -r l; do
			printf "%s said %s %s\n" "$id" "$m" "$l"
		done <<E
$u
E
	done
	look
	say ack
	exit 0
	;;
esac
zone=$zones late=
get expect
get hint
locate "$zone"
temps=${dir%/}/.$base.keywave.
tmp=$temps$tag.$id
case $verb in put | own)
	lies
	print
	;;
esac
# A worker may begin a put before it has the key, and an activation before its time. Until
# the last line comes nothing is made or held here.
get new
get key
shelf=${shelf:-${dir%/}/.keywave}
stem=$shelf/$zone.
staged=$stem$tag.$new
[ "$verb" != activate ] || eval "$t"
get l
[ "$l" = "$id" ] || fail cut
case $verb in stage | unstage) eval "$t" ;; esac
if [ "$verb" = own ]; then
	[ $there = held ] || fail bare $there "$file"
	key=$held new=$fp
fi
whole=$head$key$tail
expected
if [ "$verb" != own ] && [ "$there$held" = "held$key" ] && fits; then
	trap : 1 2 13 15
	tmp=
	tidy
	flush "$file" || fail full "$dir"
	lasts
else
	replace
fi
say stage reload
m=reload
[ -z "$reload$verify" ] || IFS= read -r m
# Where others wait for the reload, an older run for our key is none for theirs.
anew=${m#reload}
[ -z "$reload$verify" ] || [ "$m" = skip ] || serve
wait $synced || flush "$dir" || fail full "$dir"
see "$file"
fp=$new
[ "$there$held" = "held$key" ] || print
say ack "$fp"
# Runs that ended are forgotten, now and then. Those after ours may go on.
case $run in
*00) set --
	for l in "$lock"/1*; do
		[ "$l" != "$run" ] || break
		set -- "$@" "$l"
	done
	rm -f "$@" ;;
esac
