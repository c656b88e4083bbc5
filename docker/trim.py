"""Make an image's packages small: ``python trim.py LIST``, with one pattern a line, relative to site-packages.

Every match is removed; symbols that only a debugger or a linker reads leave the libraries that stay (repaired ones in
``*.libs`` excepted: their layout does not survive it).
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def main() -> int:
    """Trim this interpreter's packages; exit 1 when a pattern matches nothing."""
    site = Path(sysconfig.get_paths()["purelib"])
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    unused = [pattern for pattern in patterns if not remove(site, pattern)]
    if unused:
        sys.stderr.write(f"{sys.argv[1]}: nothing matches {', '.join(unused)}: drop these lines\n")
        return 1
    libraries = [path for path in site.rglob("*.so*") if path.is_file() and not path.parent.name.endswith(".libs")]
    for path in libraries:
        strip(path)
    return 0


def strip(library: Path) -> None:
    """Strip into a new file: an installer may have linked this one to its cache, and so to other environments."""
    beside = library.with_name(f".{library.name}.stripped")
    subprocess.run(["strip", "--strip-unneeded", "-o", str(beside), str(library)], check=True)
    beside.replace(library)


def remove(site: Path, pattern: str) -> bool:
    """Remove every match; whether there was one."""
    found = list(site.glob(pattern))
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
