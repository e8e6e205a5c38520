"""Pictures and reports of runs; Matplotlib without a display, Pillow for animations."""
