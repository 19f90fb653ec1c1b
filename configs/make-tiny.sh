#!/bin/sh
# Makes the embedded models anew, from nothing, with the product's own commands.
#
#   sh configs/make-tiny.sh          # in an empty folder; needs 4 GB there and about 80 minutes
#
# It ends by replacing vcap/assets/tiny of the vcap that is installed: run it in a checkout that
# is installed with `pip install -e .`, look at the cards, and commit them with the weights.
set -eu
export OMP_NUM_THREADS=1 # small models run fastest on one thread

assets=$(python -c 'import importlib.util as u; print(u.find_spec("vcap").submodule_search_locations[0])')/assets/tiny

# stills teach the encoder where things are, clips what they look like while they move
vcap download shapes:frames -o data/train --split train --limit 10000
vcap download shapes:clips -o data/train --split train --limit 6000
for subset in frames clips; do
    vcap download "shapes:$subset" -o data/eval --split val --split test --limit 300
done

install_model() { # NAME: from the run's model folder to the package
    rm -rf "${assets:?}/$1"
    mkdir -p "$assets"
    cp -R "runs/tiny-$1/model" "$assets/$1"
}

vcap train encoder -c tiny-clip -o runs/tiny-clip
install_model clip

for part in train eval; do
    vcap encode "data/$part/shapes-clips.jsonl" -o "features/$part" --model tiny --features grid --frames 16
done
vcap train lm -c tiny-lm -o runs/tiny-lm
install_model lm

vcap train prefix -c tiny-prefix -o runs/tiny-prefix
install_model prefix

# the search model learns from videos that show their event for a moment, too, and from all frames
vcap download shapes:needles -o data/train --split train --limit 4000
vcap download shapes:needles -o data/eval --split val --split test --limit 500
for part in train eval; do
    for subset in needles clips; do
        vcap encode "data/$part/shapes-$subset.jsonl" -o "frames/$subset-$part" --model tiny --fps 8 --limit 4000
    done
done
vcap train retrieval -c tiny-retrieval -o runs/tiny-retrieval
install_model retrieval
