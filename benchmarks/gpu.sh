#!/usr/bin/env bash
# The figures that need a GPU, in pieces of at most nine minutes; a piece that ran out of time goes on
# when it is started again. In the order of worth:
#
#   benchmarks/gpu.sh pack          where the prepared data set is: all that a bare machine needs
#   benchmarks/gpu.sh speed         there: the benchmarks of training and inference
#   benchmarks/gpu.sh fold 0 ... 4  there: grouped five-fold cross-validation over train and val
#   benchmarks/gpu.sh seed 0 ... 2  there: train, predict val
#   benchmarks/gpu.sh test          there, last and once: seed 0, and the test split is opened
#   benchmarks/gpu.sh table         anywhere: what there is so far
#
# Further words go to benchmarks/recipe.py: `gpu.sh fold 0 --name none --set model.gate=none`.
# PROFILE (profiles/busi.yaml), PACK (.hgmnet/pack) and RESULTS (.hgmnet/gpu) say where things are. With
# OUT set, the results so far are put there as one archive.
set -euo pipefail
cd "$(dirname "$0")/.."
PROFILE=${PROFILE:-profiles/busi.yaml} PACK=${PACK:-.hgmnet/pack} RESULTS=${RESULTS:-.hgmnet/gpu}
LIMIT=${LIMIT:-530} PYTHON=${PYTHON:-python}
# what a machine that has torch, timm, lightning and pandas may lack
WHEELS="segmentation-models-pytorch pydantic pydantic-core annotated-types typing-inspection typing-extensions ruamel-yaml safetensors"
export PYTHONPATH="$PWD:$PWD/$PACK/site${PYTHONPATH:+:$PYTHONPATH}"

pack() {
  "$PYTHON" benchmarks/pack.py "$PACK"
  grep -E "^($(tr ' ' '|' <<<"$WHEELS"))==" requirements.lock | sed 's/ .*//' |
    xargs "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --dest "$PACK/wheels"
}

piece() { # recipe.py within the limit; 124 and 137 mean: once more
  [ -d "$PACK/site" ] || [ ! -d "$PACK/wheels" ] ||
    "$PYTHON" -m pip install -q --no-index --no-deps --target "$PACK/site" "$PACK"/wheels/*.whl
  timeout -s KILL "$LIMIT" "$PYTHON" benchmarks/recipe.py "$PACK" "$RESULTS" --profile "$PROFILE" "$@" ||
    { status=$?; [ $status -ne 137 ] || echo "out of time: start the same piece again, it goes on" >&2; exit $status; }
}

what=${1:?pack, speed, fold K, seed K, test or table}
shift
case $what in
  pack) pack ;;
  speed) for one in training inference; do "$PYTHON" "benchmarks/$one.py" --profile "$(basename "$PROFILE" .yaml)" "$@"; done ;;
  fold | seed) piece "$what" "$@" ;;
  test) piece test 0 "$@" ;;
  table) "$PYTHON" benchmarks/trials.py "$RESULTS" "$@" ;;
  *) echo "gpu.sh: $what? pack, speed, fold K, seed K, test or table" >&2; exit 2 ;;
esac
if [ -n "${OUT:-}" ] && [ -d "$RESULTS" ]; then
  tar czf "$OUT/results.tar.gz" --exclude '*.ckpt' --exclude '*.part' -C "$RESULTS" .
fi
