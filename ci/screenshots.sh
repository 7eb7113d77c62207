#!/usr/bin/env bash
# Makes the pictures of docs/images/ anew, from a run of the commands that they show: ways of allreduce compared, a traced job,
# the report of both in Chromium, on the light and on the dark ground, and tasks of a pool in two ways. After a change to what `warpcomm plot` draws.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What a page with pictures may weigh.
most=$((200 * 1024))

ci/setup.sh --tests
cargo build --release --features cli --bins --example heat2d --example pool_map
cargo build --release -p simgpu
target=$(cargo metadata --format-version 1 --no-deps |
    target/venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
warpcomm=$target/release/warpcomm
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

"$warpcomm" bench compare allreduce --sim --sizes 8:4M:4 --quick --json "$made/allreduce.json"
"$warpcomm" run -n 4 --env WARPCOMM_TRACE="$made/trace.json" "$target/release/examples/heat2d" --rows 512 --columns 512 --steps 4
# What the page says of its files is not where they were.
(cd "$made" && "$warpcomm" plot allreduce.json trace.*.json --output pictures)

# As Chromium numbers the grounds.
screenshot() {
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=900,1400 --virtual-time-budget=2000 \
        --blink-settings=preferredColorScheme="$2" --user-data-dir="$made/profile" --screenshot="$made/$1.png" \
        "file://$made/pictures/report.html" 2>"$made/log" || { cat "$made/log" >&2; exit 1; }
}
screenshot report-light 1
screenshot report-dark 0
cp "$made/pictures/"{allreduce-time,timeline}.png "$made"

"$warpcomm" run -n 4 "$target/release/examples/pool_map" --out "$made"
for way in static balanced; do
    "$warpcomm" plot "$made/$way.trace.json" --output "$made/$way"
    cp "$made/$way/timeline.png" "$made/pool-$way.png"
done

mkdir -p docs/images
for name in report-light report-dark allreduce-time timeline pool-static pool-balanced; do
    size=$(stat -c %s "$made/$name.png")
    if ((size > most)); then
        echo "screenshots: $name.png has $size bytes, more than $most" >&2
        exit 1
    fi
    cp "$made/$name.png" docs/images/
    echo "docs/images/$name.png: $size bytes"
done
