"""One archive with the same bytes for the same content: sorted, without times, each file's hash in its
manifest."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

import msgspec

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that the format knows."""
MANIFEST = "manifest.json"


def zipped(folder: str, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """A ZIP of these files under `folder`, and a manifest with `facts` and the SHA-256 of each."""
    hashes = {
        name: {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        for name in sorted(files)
    }
    manifest = msgspec.json.format(msgspec.json.encode({**facts, "files": hashes}), indent=2) + b"\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted({**files, MANIFEST: manifest}.items()):
            info = zipfile.ZipInfo(f"{folder}/{name}", EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data, compresslevel=9)
    return content.getvalue()
