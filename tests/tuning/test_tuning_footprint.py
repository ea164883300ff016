"""A fresh interpreter: what tuning costs the idle daemon."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import mongarsd.tuning.profile, mongarsd.tuning.recommend, mongarsd.tuning.vitals, mongarsd.tuning.jetson
third = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(*sorted(name for name in third if not name.startswith(("_", "sitecustomize"))))
"""


def test_imports_only_msgspec_beside_the_standard_library() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"mongarsd", "msgspec", "typing_extensions"}  # the last by msgspec
