"""What the performance and quality claims are made with; each module is one command."""

import fraudline  # noqa: F401 - before NumPy, whose kernels it names
