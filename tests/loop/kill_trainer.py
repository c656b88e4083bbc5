"""A training of a tenth of a second for the kills: dvc runs it, and it names the model that the trial prepared."""

import shutil
import time
from pathlib import Path

time.sleep(0.1)
target = Path("build/package")
target.mkdir(parents=True, exist_ok=True)
shutil.copy("prepared.json", target / "package.json")
