"""Zips a bootstrap as Lambda wants it and writes it as base64, which is how CreateFunction takes it.

Usage: package.py BOOTSTRAP OUTPUT
"""

import base64
import io
import os
import sys
import zipfile


def main(bootstrap, output):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(bootstrap, "bootstrap")
    half_written = f"{output}.{os.getpid()}"
    with open(half_written, "wb") as file:
        file.write(base64.b64encode(buffer.getvalue()))
    os.replace(half_written, output)


main(sys.argv[1], sys.argv[2])
