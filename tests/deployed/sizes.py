"""Prints the size of each function's zip, and fails where one is larger than 4 MB. Usage: sizes.py BUILD"""

import io
import pathlib
import sys
import zipfile

LIMIT = 4_000_000


def zipped(binary):
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(binary, "bootstrap")
    return len(to.getvalue())


def main(build):
    sizes = {path.parent.name: zipped(path) for path in sorted(pathlib.Path(build).glob("*/bootstrap"))}
    for name, size in sizes.items():
        print(f"{name:28} {size / 1e6:5.2f} MB")
    return 0 if sizes and max(sizes.values()) <= LIMIT else f"a function is larger than {LIMIT} bytes"


sys.exit(main(sys.argv[1]))
