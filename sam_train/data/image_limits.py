"""How small and how large an image or a mask may be."""

MIN_SIDE = 16
MAX_SIDE = 65_535  # what a JPEG can hold
MAX_PIXELS = 178_956_970  # what PIL itself takes to be an attack ("decompression bomb")


def check_size(width: int, height: int, *, max_pixels: int = MAX_PIXELS) -> None:
    """Raises a ValueError for an image that is too small to hold objects or too large to decode."""
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{width} x {height} pixels, less than {MIN_SIDE} on a side")
    if max(width, height) > MAX_SIDE:
        raise ValueError(f"{width} x {height} pixels, more than {MAX_SIDE:,} on a side; cut it up")
    if width * height > max_pixels:
        raise ValueError(f"{width} x {height} pixels, more than {max_pixels:,}; resize it first")
