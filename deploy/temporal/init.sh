#!/bin/sh
# Makes the namespace, with 30 days of retention, and Keywave's search attributes,
# where they are missing. What exists stays as it is. Safe to run again;
# TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where.
set -eu

# again runs a command until it succeeds, because a server that has just started, or
# a namespace that has just been made, is not known everywhere at once.
again() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		if "$@"; then return 0; fi
		sleep 2
	done
	echo "init: gave up: $*" >&2
	return 1
}

namespace() {
	temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
		temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h
}

attribute() {
	known=$(temporal operator search-attribute list) || return 1
	echo "$known" | grep -qw "$1" ||
		temporal operator search-attribute create --name "$1" --type Keyword
}

again temporal operator cluster health
again namespace
for name in KeywaveCampaign KeywaveZone KeywaveOutcome KeywavePlan KeywaveAccount; do
	again attribute "$name"
done
# The frontend knows new attributes a moment later, and refuses until then what names them.
again temporal workflow count --query "$name = 'known'" >/dev/null
echo "init: namespace $TEMPORAL_NAMESPACE is ready"
