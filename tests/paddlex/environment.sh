#!/bin/sh
# Makes the Python environment with PaddleX that the checks against it take, and `line-worker bench`:
#
#     tests/paddlex/environment.sh /tmp/paddlex
#     PADDLEX_PYTHON=/tmp/paddlex/bin/python .venv/bin/pytest tests/paddlex
#     line-worker bench --paddlex /tmp/paddlex/bin/python
#
# An environment of its own, because PaddleX pins what line-worker does not; paddlepaddle is the one that both run on.
# It takes a few minutes and about 2 GB. PYTHON names another interpreter: 3.11 to 3.13.
set -eu

folder=${1:?usage: $0 FOLDER}
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet 'paddlepaddle==3.2.2' 'paddlex[base,cv,serving]==3.7.2'
PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK=1 "$folder/bin/python" -c 'import paddlex; print("PaddleX", paddlex.__version__)'
echo "PADDLEX_PYTHON=$folder/bin/python .venv/bin/pytest tests/paddlex"
