#!/bin/sh
# A plugin in shell: writes what it hears into the file $1, acknowledges it, and asks once who runs.
echo "begin $$" >> "$1"
echo '{"call": "list", "id": 1}'
echo '{"call": "stop", "properties": {"name": "plain"}, "id": 2}'
while read -r line; do
    echo "$line" >> "$1"
    number=$(printf '%s' "$line" | sed -n 's/^{"seq": \([0-9]*\),.*/\1/p')
    [ -z "$number" ] || echo "{\"ok\": $number}"
done
echo "end" >> "$1"
