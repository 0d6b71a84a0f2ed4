"""A child that tells its environment and what it was asked."""

from __future__ import annotations

import json
import os
import sys

sys.stdout.write(json.dumps([sys.stdin.read(), sorted(os.environ)]))
