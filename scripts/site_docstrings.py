"""A Griffe extension for the site: renders vidjax's docstrings, whose style differs from Griffe's in two places.

vidjax writes `Example:` and describes parameters that belong together in one entry, `num_frames, image_size: ...`.
Griffe recognises examples only under `Examples:` and needs one entry per parameter.
"""

import re
from typing import Any

import griffe

ENTRY = re.compile(
    r"^(?P<indent> +)(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)+): (?P<text>.*(?:\n(?P=indent) +.*)*)", re.MULTILINE
)


def _apart(entry: re.Match) -> str:
    return "\n".join(f"{entry['indent']}{name}: {entry['text']}" for name in entry["names"].split(", "))


class Docstrings(griffe.Extension):
    """Rewrite docstrings before Griffe parses them; source files do not change."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a loaded object."""
        del kwargs
        if obj.docstring:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            head, found, rest = text.partition("\nArgs:\n")
            section, end, after = rest.partition("\n\n")
            obj.docstring.value = head + found + ENTRY.sub(_apart, section) + end + after
