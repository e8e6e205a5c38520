"""The confusion matrix of many classes as a sheet larger than a page, on which every class is named.

It is drawn with Pillow, since Matplotlib takes half a minute for the names of 400 classes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from vidjax.files import Place, located, write_whole

_CELL, _FONT, _MARGIN = 9, 8, 12  # pixels
_EVERY = 10  # classes between two grid lines
_LEGEND = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1)


def draw_sheet(share: Float[np.ndarray, "classes classes"], names: Sequence[str], path: str | Place) -> Place:
    """Draw the square roots of shares as a PNG, with labels as rows and predictions as columns.

    Args:
      share: shares in [0, 1].
      names: class names, short enough to fit beside the matrix.
      path: the PNG to write.
    """
    import matplotlib

    font = ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT)
    blues, side = matplotlib.colormaps["Blues"], len(names) * _CELL
    wide = max(int(font.getlength(name)) for name in names) + 4
    left, top = _MARGIN + wide, 3 * _MARGIN + wide
    sheet = Image.new("RGB", (left + side + _MARGIN, top + side + _MARGIN), "white")

    pixels = np.kron(blues(np.sqrt(share))[..., :3] * 255, np.ones((_CELL, _CELL, 1))).astype(np.uint8)
    pixels[:: _EVERY * _CELL] = pixels[:, :: _EVERY * _CELL] = 200
    sheet.paste(Image.fromarray(pixels), (left, top))

    sheet.paste(_names(names, wide, font, "right"), (_MARGIN, top))
    sheet.paste(_names(names, wide, font, "left").transpose(Image.Transpose.ROTATE_90), (left, top - wide))

    draw = ImageDraw.Draw(sheet)
    at = left
    for value in _LEGEND:
        colour = tuple(int(255 * part) for part in blues(np.sqrt(value))[:3])
        draw.rectangle((at, _MARGIN, at + _CELL, _MARGIN + _CELL), fill=colour, outline="#888")
        draw.text((at + 1.5 * _CELL, _MARGIN + _CELL / 2), f"{value:.0%}", "black", font, anchor="lm")
        at += 6 * _CELL
    draw.text((at, _MARGIN + _CELL / 2), "of the class; rows: labels, columns: predictions", "black", font, anchor="lm")

    path, picture = located(path), io.BytesIO()
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(64).save(picture, "PNG", optimize=True)
    write_whole(path, picture.getvalue())
    return path


def _names(names: Sequence[str], width: int, font: ImageFont.FreeTypeFont, side: str) -> Image.Image:
    """A column with each class name at the height of its row, aligned to one side."""
    column = Image.new("RGB", (width, len(names) * _CELL), "white")
    draw, (at, anchor) = ImageDraw.Draw(column), {"left": (3, "lm"), "right": (width - 3, "rm")}[side]
    for number, name in enumerate(names):
        draw.text((at, (number + 0.5) * _CELL), name, "black", font, anchor=anchor)
    return column
