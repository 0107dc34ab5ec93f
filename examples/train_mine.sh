#!/usr/bin/env bash
# Weights from clips of your own, then a film made with them. The settings are those of train.toml:
# the smallest model, a few steps, to see that it works; docs/training.md tells how to go on.
# A run that was stopped goes on when the script is run again.
# Usage: examples/train_mine.sh CLIPS RUN [KEY=VALUE ...]
set -euo pipefail
shopt -s nullglob nocaseglob

in=${1:?folder of clips}
run=${2:?folder for the run}
shift 2

here=$(dirname "$0")
weights=$(mardini train "$here/train.toml" data="$in" photos="$here" out="$run" "$@")
mardini weights verify "$weights" >&2

clips=("$in"/*.mp4 "$in"/*.mov "$in"/*.mkv)
mardini interpolate "${clips[0]}" --model "$weights" --output "$run" --overwrite
