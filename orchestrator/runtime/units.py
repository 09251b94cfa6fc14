"""Bytes, in words. Pure."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size_told(number: float) -> str:
    """A number of bytes, as short as it is still useful."""
    for unit in _UNITS[:-1]:
        if number < 1024:  # noqa: PLR2004 - as the units say
            return _told(number, unit)
        number /= 1024
    return _told(number, _UNITS[-1])


def _told(number: float, unit: str) -> str:
    return f"{number:.1f}".removesuffix(".0") + f" {unit}"
