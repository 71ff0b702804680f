#!/usr/bin/env bash
# Snakemake runs this in the new environment, from the folder of the workflow. The YAML file cannot
# name the lock file, because Snakemake reads relative paths from its own copy of it in another folder.
set -euo pipefail
python -m pip install --quiet --require-hashes -r requirements.lock
python -m pip install --quiet --no-deps --no-build-isolation --editable .
