#!/bin/sh
# Makes a random password file for every account that has none yet: <folder>/<account>.password. Nothing is printed.
#   make-secrets.sh FOLDER ACCOUNT...
set -eu
folder=$1
shift
umask 077
mkdir -p "$folder"
for account in "$@"; do
    file="$folder/$account.password"
    [ -s "$file" ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$file"
done
