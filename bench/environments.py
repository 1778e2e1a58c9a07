"""The environments of the alternatives, one each, in a folder that is kept: `bench/wanted.py` runs them.

    python bench/environments.py [FOLDER] [--only NAME ...]

The versions are pinned, and binary packages alone are installed. An environment that is there is left as it is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

FOLDER: Final = Path(".bench-envs")
PACKAGES: Final = {
    "pocketpaw": ("pocketpaw==0.4.18",),
    "grip": ("grip-ai==1.6.1",),
    "openai": ("openai-agents==0.24.0",),
    "langchain": ("langchain-community==0.4.2", "sqlalchemy<3", "greenlet<4"),
    "adk": ("google-adk==2.13.0", "sqlalchemy<3", "aiosqlite<1", "greenlet<4"),
}
"""The packages of each alternative."""


def python_of(name: str, folder: Path = FOLDER) -> Path | None:
    """Return the Python of an alternative's environment, None if it is not installed."""
    place = folder / name
    return place.resolve() / "bin" / "python" if (place / "ready").exists() else None


def version_of(name: str) -> str:
    """Return the package of an alternative with its version."""
    return PACKAGES[name][0].replace("==", " ")


def install(name: str, folder: Path) -> None:
    """Make the environment of an alternative."""
    place = folder / name
    venv.create(place, with_pip=True, clear=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*pip, "--disable-pip-version-check", *PACKAGES[name]], check=True)
    (place / "ready").touch()


def main() -> None:
    """Install what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--only", nargs="*", choices=[*PACKAGES], default=[*PACKAGES])
    options = parser.parse_args()
    for name in options.only:
        if python_of(name, options.folder) is None:
            try:
                install(name, options.folder)
            except subprocess.CalledProcessError as error:  # the others are measured without it
                print(f"{name} is not installed: pip ended with {error.returncode}", file=sys.stderr)


if __name__ == "__main__":
    main()
