"""Features of a frozen backbone, stored in a folder."""
