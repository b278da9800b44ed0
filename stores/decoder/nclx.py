"""Colour of a HEIF picture that is given as code points only (an `nclx` box), as an ICC profile.

Code points are those of ITU-T H.273. Only what differs visibly from sRGB and has an ordinary
curve is known: Display P3 and BT.2020.
"""

from collections.abc import Mapping
from typing import Final

_COLUMNS: Final = {
    12: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    9: ((0.67346, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79685)),
}
"""XYZ of red, green and blue by colour primaries, adapted from D65 to ICC's D50 (Bradford)."""
_D50: Final = (0.96420, 1.0, 0.82491)
_HDR_CURVES: Final = frozenset({16, 18})
"""PQ and HLG: there a matrix would be wrong; the picture stays as the decoder gave it."""
_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_HEADER_BYTES: Final = 128
_TAG_BYTES: Final = 12


def profile_of(nclx: Mapping[str, int] | None) -> bytes | None:
    """ICC profile of the code points, None where the picture counts as sRGB.

    Every ordinary curve is read as sRGB's, as browsers and phones do.
    """
    if not nclx or nclx.get("transfer_characteristics") in _HDR_CURVES:
        return None
    columns = _COLUMNS.get(nclx.get("color_primaries", 0))
    return _matrix_profile(columns) if columns else None


def _matrix_profile(columns: tuple[tuple[float, ...], ...]) -> bytes:
    """A display profile of three primaries and sRGB's curve (ICC.1:2010, 7.2 and 8.3.3)."""
    curve = b"para\0\0\0\0\0\x03\0\0" + _fixed(*_SRGB_CURVE)
    xyz = [b"XYZ \0\0\0\0" + _fixed(*each) for each in (_D50, *columns)]
    signatures = (b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    elements = (*xyz, curve, curve, curve)
    at = _HEADER_BYTES + 4 + _TAG_BYTES * len(signatures)
    table = _number(len(signatures))
    for signature, element in zip(signatures, elements, strict=True):
        table += signature + _number(at) + _number(len(element))
        at += len(element)
    header = b"".join(
        (_number(at), bytes(4), b"\x04\x20\0\0", b"mntrRGB XYZ ", bytes(12), b"acsp", bytes(28))
    )
    header += _fixed(*_D50)
    return header.ljust(_HEADER_BYTES, b"\0") + table + b"".join(elements)


def _fixed(*numbers: float) -> bytes:
    """s15Fixed16Number."""
    return b"".join(round(each * 65536).to_bytes(4, "big", signed=True) for each in numbers)


def _number(value: int) -> bytes:
    """uInt32Number."""
    return value.to_bytes(4, "big")
