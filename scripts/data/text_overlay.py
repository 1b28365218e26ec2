"""Text burned into images, made up: names of nobody, fonts that come with matplotlib, and where which ink lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.float32]

FONTS = {
    "sans": "DejaVuSans.ttf",
    "mono": "DejaVuSansMono-Bold.ttf",
    "serif": "DejaVuSerif.ttf",
    "times": "STIXGeneral.ttf",
}
"""Files of matplotlib's own fonts; only the DejaVu ones hold other scripts than Latin, Greek and Cyrillic."""

_FIRST = (
    "ADA BEN CARLA DIEGO ELENA FELIX GRETA HUGO IDA JONAS KLARA LENA MARCO NINA OSCAR PAULA QUIRIN ROSA SIMON TILDA "
    "URS VERA WANDA XAVER YARA ZOE AMIR BRUNO CHLOE DAVID EMMA FRIDA GUIDO HELGA IVAN JULIA KEVIN LUISA MIRIAM NOAH"
)
_LAST = (
    "ABEL BAUMANN CASTELL DORNER EBERHARD FALKE GRUBER HARTWIG ISING JANKOWSKI KELLER LINDQVIST MARTENS NOVAK OBERLIN "
    "PETROV QUANT RICHTER SALVI THORNE ULBRICH VALENTE WEBER XANDER YILMAZ ZELLER ANDERSON BIANCHI CLARKE DUBOIS "
    "ESPINOZA FONTAINE GARCIA HOFFMANN IBRAHIM JENSEN KOWALSKI LEHMANN MORETTI NAKAMURA OKAFOR PEREIRA ROSSI SILVA "
    "TANAKA URBAN VARGAS WINTER YOUNG ZHANG"
)
FIRST, LAST = tuple(_FIRST.split()), tuple(_LAST.split())
SCRIPTS = {
    "Latin": ("KELLER, LENA", "Novak, Ivan", "GARCIA^ROSA", "MÜLLER, JÖRG"),
    "Cyrillic": ("ПЕТРОВ, ИВАН", "Смирнова, Анна", "КОВАЛЬ^ОЛЕГ", "Орлов, Юрий"),
    "Greek": ("ΠΑΠΠΑΣ, ΝΙΚΟΣ", "Γεωργίου, Άννα", "ΚΩΣΤΑΣ^ΙΩΝ", "Δήμου, Ελένη"),
    "Hebrew": ("כהן, דוד", "לוי, שרה", "מזרחי, יעל", "פרץ, אורי"),
    "Arabic": ("حسن، علي", "محمود، ليلى", "خالد، عمر", "سعيد، نور"),
}
"""Names of nobody in five scripts. Without a shaping engine Arabic letters stay unjoined."""


@dataclass(frozen=True)
class Overlay:
    """One line of text in an image.

    Args:
        text: what is written.
        font: a key of :data:`FONTS`.
        size: of the font, in pixels; capital letters are some 0.7 times as high.
        left, top: corner of the line.
        value: grey value of the ink, [0, 1].
    """

    text: str
    font: str
    size: int
    left: int
    top: int
    value: float = 1.0


def names(count: int, seed: int = 0) -> list[str]:
    """Distinct names of nobody, such as "KELLER, LENA", drawn from a list of ours.

    Raises:
        ValueError: when there are not so many.
    """
    every = [f"{last}, {first}" for last in LAST for first in FIRST]
    if count > len(every):
        raise ValueError(f"there are {len(every)} names, not {count}.")
    return [every[index] for index in np.random.default_rng(seed).permutation(len(every))[:count]]


@lru_cache(maxsize=64)
def load_font(font: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of :data:`FONTS`, laid out letter by letter, which is the same everywhere."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONTS[font]
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def text_box(text: str, font: str, size: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a line's ink when it is written at (0, 0)."""
    left, top, right, bottom = load_font(font, size).getbbox(text)
    return int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))


def coverage(overlay: Overlay, shape: tuple[int, int]) -> Array:
    """Share of each pixel that ink covers: (rows, columns) in [0, 1]."""
    sheet = Image.new("L", (shape[1], shape[0]))
    font = load_font(overlay.font, overlay.size)
    ImageDraw.Draw(sheet).text((overlay.left, overlay.top), overlay.text, fill=255, font=font)
    return np.asarray(sheet, dtype=np.float32) / np.float32(255)


def burn_in(image: Array, overlay: Overlay) -> Array:
    """The image (rows, columns) in [0, 1] with the text in it."""
    ink = coverage(overlay, (image.shape[0], image.shape[1]))
    return (image * (1 - ink) + overlay.value * ink).astype(np.float32)
