"""`python -m vidjax.cli VERB ...`, for when the `vidjax` command is not on the path."""

import sys

from vidjax.training.stop_signal import leave_on_signal

leave_on_signal()  # until `main` handles signals

from vidjax.cli import main  # noqa: E402

sys.exit(main())
