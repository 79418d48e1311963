#!/bin/sh
# Runs a command for schedulers that know only success and failure: 2, "drift was found, repaired and verified",
# becomes 0; every other exit code stays. A Pod's end reaches the command, and waits for it.
stopped=
"$@" &
child=$!
trap 'stopped=yes; kill -TERM "$child"' TERM INT
wait "$child"
code=$?
while [ "$stopped" ]; do # the signal ended `wait`, not the command
    stopped=
    wait "$child"
    code=$?
done
if [ "$code" -eq 2 ]; then
    exit 0
fi
exit "$code"
