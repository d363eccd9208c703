"""Zips a bootstrap as Lambda wants it and prints it as base64, which is how CreateFunction takes it.

Usage: package.py BOOTSTRAP
"""

import base64
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile


def main(bootstrap):
    buffer = io.BytesIO()
    with tempfile.NamedTemporaryFile() as small, zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        # Symbols are most of a debug build, and the emulator takes every function's code apart.
        stripped = shutil.which("strip") and subprocess.run(["strip", "-s", "-o", small.name, bootstrap]).returncode == 0
        archive.write(small.name if stripped else bootstrap, "bootstrap")
    sys.stdout.write(base64.b64encode(buffer.getvalue()).decode())


main(sys.argv[1])
