"""Builds `src/ringfence/protocols/cwmp/secret_names.py`: the parameters that the data models of the Broadband Forum mark as secret.

    python tools/build_secret_names.py FOLDER > src/ringfence/protocols/cwmp/secret_names.py

FOLDER holds tr-098, tr-104, tr-140, tr-181 and so on in their full XML form (github.com/BroadbandForum/cwmp-data-models). A parameter is secret when
its syntax says `hidden="true"` (TR-098, TR-104 issue 1) or `secured="true"` (TR-181, TR-104 issue 2). Booleans so marked are buttons
that read as false, not secrets; they are left out.
"""

# ruff: noqa: E501

import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def secret_paths(folder: Path) -> list[str]:
    """Full paths, with {i} for instances."""
    found = set()
    for file in sorted(folder.glob("tr-*.xml")):
        for parent in ET.parse(file).getroot().iter("object"):
            for parameter in parent.findall("parameter"):
                syntax = parameter.find("syntax")
                if syntax is None or "true" not in {syntax.get("hidden"), syntax.get("secured")} or syntax.find("boolean") is not None:
                    continue
                found.add(f"{parent.get('name', '')}{parameter.get('name', '')}".replace(" ", ""))
    return sorted(found)


def module(paths: list[str]) -> str:
    """The text of the module."""
    lines = [
        '"""Parameters that the data models of the Broadband Forum mark as secret. Written by tools/build_secret_names.py; not to be edited.',
        "",
        "Full paths, `{i}` for instances. `redact` reads them.",
        '"""',
        "",
        "SECRET_PATHS = (",
        *(f'    "{path}",' for path in paths),
        ")",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(module(secret_paths(Path(sys.argv[1]))))
