"""Processes in which packages cannot be imported."""

import subprocess
import sys
import textwrap

from program import environment

REFUSING = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise ModuleNotFoundError(f"{{name}} was imported")
sys.meta_path.insert(0, Refuse())
"""


def in_a_process_without(packages, code):
    """What a program prints where importing any of `packages` raises."""
    program = REFUSING.format(packages=set(packages)) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
