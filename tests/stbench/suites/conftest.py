from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["STBENCH_SUITES"] = str(Path(__file__).parent / "nothing-was-added")  # not those of whoever runs the tests
sys.path.insert(0, str(Path(__file__).parent))  # for scripts_in_dialects
