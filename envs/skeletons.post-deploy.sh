#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the folder of the workflow. A relative path in the
# YAML file would be taken from Snakemake's own copy of it, in another folder.
set -euo pipefail
python -m pip install --quiet --require-hashes -r requirements.lock
python -m pip install --quiet --no-deps --no-build-isolation --editable .
