#!/usr/bin/env bash
# Builds MinIO's server once into .cache/minio, for the object store's tests and benchmark.
#
# Its repository is archived, ships no binaries, and the module proxy refuses its tagged releases (403, "This
# module version is not available"); the last commit is there. Needs Go; takes some minutes and 400 MB.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v0.0.0-20260212201848-7aac2a2c5b7c
folder="$PWD/.cache/minio"
[[ -x "$folder/minio" ]] && exit 0
if ! command -v go >/dev/null; then
  echo "MinIO is left out: no go here to build it (Debian: golang-go)" >&2
  exit 1
fi
mkdir -p "$folder"
echo "Building MinIO $version into .cache/minio (once)"
GOBIN="$folder" CGO_ENABLED=0 go install "github.com/minio/minio@$version" 2>"$folder/build.log" || {
  echo "MinIO could not be built; the end of .cache/minio/build.log:" >&2
  tail -n 5 "$folder/build.log" >&2
  exit 1
}
