"""`vidjax watch` with the colour model, as a program: python watch_colours.py watch SOURCE --model colours ..."""

import sys

from colours import colour_model

from vidjax.cli import load_model, main

if __name__ == "__main__":
    load_model.load = lambda source: colour_model()
    sys.exit(main())
