#!/bin/sh
# A plugin in shell: writes a line for each process that died into the file $1.
#
#     [plugin.deaths]
#     cmd = "sh deaths.sh /tmp/deaths"
#     events = ["*.died"]

while read -r line; do
    number=$(printf '%s' "$line" | sed -n 's/^{"seq": \([0-9]*\),.*/\1/p')
    [ -n "$number" ] || continue # a reply, which this program does not ask for
    watcher=$(printf '%s' "$line" | sed -n 's/.*"watcher": "\([^"]*\)".*/\1/p')
    echo "$(date) $watcher" >> "$1"
    echo "{\"ok\": $number}"
done
