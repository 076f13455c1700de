#!/bin/sh
# Installs what `make test` needs beyond Go, where that can be done: a real sshd
# for the delivery tests. Elsewhere it says so, and those tests are skipped by name.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if command -v sshd >/dev/null 2>&1; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "prepare: there is no sshd here; install openssh-server to run the tests against it" >&2
	exit 0
fi

# The tests start an sshd of their own: the package must not start one for
# everybody.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o Acquire::Retries=3
apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends openssh-server >/dev/null
echo "prepare: installed openssh-server"
