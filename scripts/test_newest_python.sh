#!/usr/bin/env bash
# Run the fast tests on the newest interpreter at hand, because Python 3.11 cannot have a jax newer than 0.10.
set -euo pipefail
cd "$(dirname "$0")/.."
for python in "${NEWEST_PYTHON:-}" python3.13 python3.12; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    exec make test PYTHON="$python" VENV=.venv-newest
  fi
done
echo "no Python 3.12 or newer found; name one with NEWEST_PYTHON=/path/to/python3.12 make test-full" >&2
exit 1
