#!/bin/bash
# Asks the broker for its API versions (key 18, version 0, correlation id 1, client "h") and reads error code 0.
# The tools that Kafka brings start a JVM: a second of processor time at every check.
set -eu
exec 3<>/dev/tcp/127.0.0.1/9092
printf '\x00\x00\x00\x0b\x00\x12\x00\x00\x00\x00\x00\x01\x00\x01h' >&3
answer=$(timeout 3 head -c 10 <&3 | od -An -tx1 -v | tr -d ' \n')
[ "${answer:8}" = 000000010000 ]
