#!/usr/bin/env bash
# A smooth time-lapse from stills: seven frames are made between every two pictures of a folder, in
# the order of their names. Pictures of another size than the first are padded.
# Usage: examples/time_lapse.sh STILLS OUT.mp4
set -euo pipefail
shopt -s nullglob nocaseglob

in=${1:?folder of pictures}
out=${2:?name of the film}

stills=("$in"/*.jpg "$in"/*.jpeg "$in"/*.png)
[ ${#stills[@]} -ge 2 ] || { echo "$in holds ${#stills[@]} pictures; needs at least 2" >&2; exit 1; }
# Numbers in names count as numbers; a name may hold anything but a line break.
sorted=()
while IFS= read -r still; do sorted+=("$still"); done < <(printf '%s\n' "${stills[@]}" | sort -V)

mardini interpolate "${sorted[@]}" --between 7 --fps 24 --fit pad --output "$out" --overwrite
