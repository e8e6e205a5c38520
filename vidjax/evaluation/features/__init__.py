"""Features of a frozen backbone: computing them, and storing them in a folder."""
