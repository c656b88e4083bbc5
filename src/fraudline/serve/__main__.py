"""``python -m fraudline.serve``."""

import sys

from fraudline.serve.main import main

sys.exit(main())
