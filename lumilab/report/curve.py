"""A curve drawn in a terminal with braille dots: each character holds 2 x 4 of them (Unicode block U+2800)."""

from __future__ import annotations

from collections.abc import Sequence

# Bit of the dot in column c (0, 1) and row r (0 at the top to 3) of a braille character.
DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def draw_curve(points: Sequence[tuple[float, float]], width: int = 64, height: int = 12) -> list[str]:
    """Draws points (x, y) as lines of text with the y axis labelled.

    Args:
        points: at least one point; x ascending.
        width: characters of the plot, without the labels.
        height: lines of the plot.

    Returns:
        `height` lines and one for the x axis.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    left, right = min(xs), max(xs)
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    for column, y in enumerate(_resampled(points, columns)):
        share = (high - y) / (high - low) if high > low else 0.5
        row = round(share * (rows - 1))
        cells[row // 4][column // 2] |= DOT_BITS[column % 2][row % 4]
    labels = {0: high, height // 2: (high + low) / 2, height - 1: low}
    lines = []
    for index, row_cells in enumerate(cells):
        label = f"{labels[index]:7.3g}" if index in labels else " " * 7
        lines.append(f"{label} ┤{''.join(chr(0x2800 + bits) for bits in row_cells)}")
    start, end = f"{left:g}", f"{right:g}"
    lines.append(f"{'':8}└{start}{'─' * max(width - len(start) - len(end), 1)}{end}")
    return lines


def _resampled(points: Sequence[tuple[float, float]], count: int) -> list[float]:
    """y at `count` evenly spaced places of x, by linear interpolation."""
    left, right = points[0][0], points[-1][0]
    values, index = [], 0
    for place in range(count):
        x = left + (right - left) * place / max(count - 1, 1)
        while index + 2 < len(points) and points[index + 1][0] < x:
            index += 1
        (x0, y0), (x1, y1) = points[index], points[min(index + 1, len(points) - 1)]
        values.append(y1 if x1 <= x0 else y0 + (y1 - y0) * min(max((x - x0) / (x1 - x0), 0), 1))
    return values
