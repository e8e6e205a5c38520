"""`python -m vidjax.cli VERB ...`, where the `vidjax` command is not on the path."""

import sys

from vidjax.cli import main

sys.exit(main())
