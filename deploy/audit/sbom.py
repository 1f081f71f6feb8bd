"""Bills of materials in the CycloneDX format, version 1.5 (https://cyclonedx.org/docs/1.5/json/)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deploy.audit.components import Part

Json = dict[str, object]


def bill(subject: Part, kind: str, parts: Sequence[Part]) -> Json:
    """What `subject`, an `application` or a `container`, is made of."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _component(subject, kind)},
        "components": [_component(each, "library") for each in parts],
        "dependencies": [{"ref": subject.purl, "dependsOn": sorted({p.purl for p in parts})}],
    }


def _component(part: Part, kind: str) -> Json:
    found: Json = {
        "type": kind,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
    }
    if part.licence:
        found["licenses"] = [{"license": {"name": part.licence}}]
    if part.sha256:
        found["hashes"] = [{"alg": "SHA-256", "content": part.sha256}]
    if part.files:
        sums = [{"alg": "SHA-256", "content": each} for each in part.files]
        found["externalReferences"] = [
            {
                "type": "distribution",
                "url": part.purl,
                "comment": "one of the files that the lock takes",
                "hashes": sums,
            }
        ]
    return found


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
