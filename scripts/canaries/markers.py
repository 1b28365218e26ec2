"""Markers: texts that occur nowhere but in a canary file, so that finding one anywhere else is a leak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PREFIX = "QZ"
TOKEN_LENGTH = 12
UID_ROOT = "1.2.826.0.1.3680043.8.498."
"""Root under which pydicom makes UIDs."""
FIRST_YEAR = 1581
"""Dates of markers lie before anybody's birth and before the Gregorian calendar: no other date equals one."""

SCRIPTS: dict[str, tuple[str | list[str], str, str]] = {
    "ASCII": ("ISO_IR 6", "ascii", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "Latin": ("ISO_IR 100", "latin_1", "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞ"),
    "Greek": ("ISO_IR 126", "iso8859_7", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"),
    "Cyrillic": ("ISO_IR 144", "iso8859_5", "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЭЮЯ"),
    "Arabic": ("ISO_IR 127", "iso8859_6", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"),
    "Hebrew": ("ISO_IR 138", "iso8859_8", "אבגדהוזחטיכלמנסעפצקרשת"),
    "Thai": ("ISO_IR 166", "tis_620", "กขคงจฉชซดตถทธนบปผฝพฟภมยรลวศสหอ"),
    "Japanese": (["", "ISO 2022 IR 87"], "iso2022_jp", "山田中村佐藤鈴木高橋伊東渡辺小林加吉口本松井清水森池"),
    "Korean": (["", "ISO 2022 IR 149"], "euc_kr", "김이박최정강조윤장임한오서신권황안송류홍전고문손양배백허유남"),
    "Chinese": ("GB18030", "gb18030", "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹"),
    "Devanagari": ("ISO_IR 192", "utf_8", "अआइईउऊएऐओऔकखगघचछजझटठडढतथदधनपफब"),
}
"""Per script: Specific Character Set, Python's codec for it, letters."""


@dataclass(frozen=True)
class Marker:
    """One marker.

    Args:
        text: what is searched for.
        kind: "text", "date", "time", "moment", "integer", "decimal", "uid", "script", "file", "place" or "host".
        where: the element or thing that holds it.
        codec: Python's codec of the file's character set, where the text needs one.
        whole: the element's whole value where it is longer than the marker: it may be hashed whole.
    """

    text: str
    kind: str
    where: str
    codec: str = ""
    whole: str = ""

    @property
    def is_short_number(self) -> bool:
        """Whether it is so short a number that it may occur by chance within a longer one."""
        return self.kind in ("date", "integer")


@dataclass
class Mint:
    """Makes markers, each another one, and keeps them.

    Args:
        seed: the same seed makes the same markers in the same order.
    """

    seed: int
    made: list[Marker] = field(default_factory=list)
    _dates: Iterator[str] = field(default_factory=lambda: _all_dates(), repr=False)

    def _draw(self, alphabet: str, length: int) -> str:
        number = int.from_bytes(sha256(f"{self.seed} {len(self.made)}".encode()).digest(), "big")
        drawn = ""
        for _ in range(length):
            number, index = divmod(number, len(alphabet))
            drawn += alphabet[index]
        return drawn

    def _keep(self, text: str, kind: str, where: str, codec: str = "", whole: str = "") -> str:
        self.made.append(Marker(text, kind, where, codec, whole))
        return whole or text

    def text(self, where: str, kind: str = "text", around: str = "{}") -> str:
        """Twelve capitals and digits, which every text element can hold; ``around`` is the value to put them in."""
        token = PREFIX + self._draw(LETTERS, TOKEN_LENGTH - len(PREFIX))
        return self._keep(token, kind, where, whole="" if around == "{}" else around.format(token))

    def script(self, where: str, script: str) -> str:
        """Ten letters of a script, of :data:`SCRIPTS`."""
        _, codec, letters = SCRIPTS[script]
        return self._keep(self._draw(letters, 10), "script", where, codec)

    def date(self, where: str) -> str:
        """A date YYYYMMDD of the sixteenth century.

        Raises:
            StopIteration: after 3,720 dates.
        """
        return self._keep(next(self._dates), "date", where)

    def time(self, where: str) -> str:
        """A time HHMMSS.FFFFFF to the microsecond."""
        return self._keep(f"{self._clock()}.{self._draw('0123456789', 21)[-6:]}", "time", where)

    def moment(self, where: str) -> str:
        """A date and time YYYYMMDDHHMMSS of the sixteenth century."""
        return self._keep(next(self._dates) + self._clock(), "moment", where)

    def _clock(self) -> str:
        seconds = int(self._draw("0123456789", 15)) % 86400
        return f"{seconds // 3600:02d}{seconds % 3600 // 60:02d}{seconds % 60:02d}"

    def integer(self, where: str) -> str:
        """A number of ten digits that fits 31 bits."""
        return self._keep("1" + self._draw("0123456789", 9), "integer", where)

    def decimal(self, where: str) -> str:
        """A decimal number of 14 digits between 0.5 and 1 (DS holds 16 characters)."""
        return self._keep("0." + "5678"[len(self.made) % 4] + self._draw("0123456789", 12) + "3", "decimal", where)

    def uid(self, where: str) -> str:
        """A UID of 24 digits of its own."""
        digits = "7" + self._draw("0123456789", 23)
        return self._keep(digits, "uid", where, whole=UID_ROOT + digits)


def _all_dates() -> Iterator[str]:
    for year in range(FIRST_YEAR, FIRST_YEAR + 10):
        for month in range(1, 13):
            for day in range(1, 32 if month in (1, 3, 5, 7, 8, 10, 12) else 31 if month != 2 else 29):
                yield f"{year}{month:02d}{day:02d}"
