#!/usr/bin/env bash
# Compiles the requirements files: hashed, universal, without any index address.
set -euo pipefail
cd "$(dirname "$0")/.."
F="--universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate -q"
.venv/bin/uv pip compile $F requirements-dev.in -o requirements-dev.txt
for s in gateway fetcher extractor standalone; do .venv/bin/uv pip compile $F -c requirements-dev.txt services/$s/requirements.in -o services/$s/requirements.txt; done
grep -rn '://' requirements-dev.txt services/*/requirements.txt | head
