#!/bin/sh
# Installs what `make test` needs beyond Go, where that can be done: a real sshd,
# Dropbear, sudo, busybox, tcsh and the tools of file attributes for the delivery tests,
# Chromium for the Temporal UI, tmux for the screen of campaign watch, Prometheus for
# the alert rules, systemd (which is not started) to verify the units, PostgreSQL for the
# test of a cluster. Elsewhere it says what is missing, and those tests are skipped by
# name.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=
command -v sshd >/dev/null 2>&1 || missing="$missing openssh-server"
command -v busybox >/dev/null 2>&1 || missing="$missing busybox"
command -v dropbear >/dev/null 2>&1 || missing="$missing dropbear-bin"
command -v sudo >/dev/null 2>&1 || missing="$missing sudo"
command -v tcsh >/dev/null 2>&1 || missing="$missing tcsh"
command -v fish >/dev/null 2>&1 || missing="$missing fish"
command -v zsh >/dev/null 2>&1 || missing="$missing zsh"
command -v mksh >/dev/null 2>&1 || missing="$missing mksh"
command -v setfacl >/dev/null 2>&1 || missing="$missing acl"
command -v setfattr >/dev/null 2>&1 || missing="$missing attr"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v tmux >/dev/null 2>&1 || missing="$missing tmux"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "prepare: install these to run all tests:$missing" >&2
	exit 0
fi

# The tests start an sshd, a Prometheus and a PostgreSQL of their own: the packages must
# not start them for everybody, nor make a database.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o Acquire::Retries=3
apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends $missing >/dev/null
echo "prepare: installed$missing"
