"""``python -m docs.monitoring [--check]``."""

import sys
from pathlib import Path

from docs.monitoring.files import files

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Write or check every file."""
    check, stale = "--check" in sys.argv[1:], []
    for name, content in files().items():
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run `python -m docs.monitoring`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
