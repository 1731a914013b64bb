#!/bin/sh
# Installs PostgreSQL for the tests where it is missing and may be installed.
# Does nothing where initdb and postgres are found already.
set -eu

found() {
	[ -x "$1/initdb" ] && [ -x "$1/postgres" ]
}

if command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1; then
	exit 0
fi
for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/lib/postgresql*/bin /usr/libexec/postgresql* \
	/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /usr/local/pgsql/bin \
	/Applications/Postgres.app/Contents/Versions/*/bin; do
	if found "$dir"; then
		exit 0
	fi
done

give_up() {
	echo "the tests need PostgreSQL (initdb and postgres): install the package 'postgresql', then run 'make test' again" >&2
	exit 1
}

command -v apt-get >/dev/null 2>&1 || give_up
if [ "$(id -u)" -eq 0 ]; then
	sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	sudo='sudo -n'
else
	give_up
fi

$sudo apt-get update -qq || give_up
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql || give_up
