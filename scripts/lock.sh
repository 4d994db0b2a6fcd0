#!/bin/sh
# Writes requirements.lock: the exact versions installed in .venv, without build tags such as torch's "+cpu".
set -eu
cd "$(dirname "$0")/.."
{
    echo "# Exact versions, written by scripts/lock.sh from an environment in which make test passes. Do not edit."
    .venv/bin/python -m pip freeze --exclude-editable | sed -e 's/+cpu$//' -e '/^pip==/d' -e '/^setuptools==/d'
} >requirements.lock.new
mv requirements.lock.new requirements.lock
