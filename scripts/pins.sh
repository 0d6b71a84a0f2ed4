#!/usr/bin/env bash
# Compiles every requirements file: pinned, hashed, for all systems, without any index address.
#   scripts/pins.sh             keep the versions that still fit
#   scripts/pins.sh --upgrade   take the newest
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # compile SOURCE TARGET [OPTION...]
  local source=$1 target=$2
  shift 2
  echo "  $target"
  .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --quiet "$@" "$source" -o "$target"
}

compile requirements-dev.in requirements-dev.txt "$@"
for service in gateway fetcher extractor standalone; do
  # The images run exactly what the tests ran.
  compile "services/$service/requirements.in" "services/$service/requirements.txt" \
    --constraint requirements-dev.txt "$@"
done
for source in tests/clients/requirements-*.in bench/requirements-*.in deploy/requirements-*.in; do
  compile "$source" "${source%.in}.txt" "$@"
done

if grep -n '://' requirements-dev.txt services/*/requirements.txt tests/clients/*.txt bench/*.txt deploy/*.txt; then
  echo "an address got into a requirements file" >&2
  exit 1
fi
