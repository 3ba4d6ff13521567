#!/bin/sh
# The tests start a redis-server of their own; this puts one on the machine if there is none.
set -eu
command -v redis-server >/dev/null && exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
if command -v apt-get >/dev/null; then
    $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq redis-server >/dev/null
elif command -v dnf >/dev/null; then
    $as_root dnf install -y -q redis
elif command -v brew >/dev/null; then
    brew install -q redis
else
    echo "no redis-server here and no package manager known to this script: install Redis 7 or newer by hand" >&2
    exit 1
fi
