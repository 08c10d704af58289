"""Small inline SVG drawings: sparklines, rate bars with their interval, funnel bars.

What belongs here: numbers to shapes. What does not: colours (the style sheet has them, by class, for light and dark)
and any text from a trace (labels are made of numbers only).
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

ZERO, OPEN = ' class="zero"', ' class="open"'
_WIDTH, _HEIGHT, _PAD = 120, 28, 2


def sparkline(values: Sequence[float], what: str, kind: str) -> Markup:
    """A column per value, newest right; `what` says in words what the values are, `kind` picks the colour class."""
    if not values:
        return Markup("")
    top = max(*values, 1)
    step = _WIDTH / len(values)
    width = max(1.0, min(9.0, step - 1.2))
    columns = "".join(
        f'<rect x="{index * step + (step - width) / 2:.1f}" y="{_HEIGHT - _height(value, top):.1f}" width="{width:.1f}"'
        f' height="{_height(value, top):.1f}" rx="0.8"{ZERO if not value else ""}/>'
        for index, value in enumerate(values)
    )
    label = f"{what}: {', '.join(f'{value:g}' for value in values)}"
    return Markup(
        f'<svg class="spark {kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{Markup.escape(label)}"'
        f' preserveAspectRatio="none">{columns}</svg>'
    )


def _height(value: float, top: float) -> float:
    return max(1.0, (_HEIGHT - _PAD) * value / top)


def rate_bar(rate: float | None, low: float | None, high: float | None, kind: str) -> Markup:
    """A bar from 0 to 1 with its interval as a whisker. Hidden from screen readers: the numbers stand beside it."""
    if rate is None:
        return Markup("")
    whisker = ""
    if low is not None and high is not None:
        a, b = 100 * max(0.0, low), 100 * min(1.0, high)
        whisker = f'<path class="whisker" d="M{a:.1f} 5H{b:.1f}M{a:.1f} 2.5V7.5M{b:.1f} 2.5V7.5"/>'
    return Markup(
        f'<svg class="rate {kind}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="10" rx="1"/>'
        f'<rect class="fill" width="{100 * rate:.1f}" height="10" rx="1"/>'
        f"{whisker}</svg>"
    )


def share_bar(share: float, kind: str = "plain") -> Markup:
    """A bar of `share` (0 to 1) of the full width."""
    return rate_bar(min(1.0, max(0.0, share)), None, None, kind)


def trend_line(points: Sequence[tuple[str, float, float, float, bool]], what: str, kind: str) -> Markup:
    """Rates over days with their interval as a band: points are (day, rate, low, high, settled), oldest first.

    Days that are not settled are drawn hollow: their rate can still change.
    """
    if not points:
        return Markup("")
    width, height, pad = 640, 120, 8
    top = max(0.1, *(high for _, _, _, high, _ in points))
    step = (width - 2 * pad) / max(1, len(points) - 1)

    def place(index: int, value: float) -> str:
        return f"{pad + index * step:.1f} {height - pad - (height - 2 * pad) * value / top:.1f}"

    upper = [place(index, point[3]) for index, point in enumerate(points)]
    lower = [place(index, point[2]) for index, point in enumerate(points)]
    line = [place(index, point[1]) for index, point in enumerate(points)]
    dots = "".join(
        f'<circle cx="{at.split()[0]}" cy="{at.split()[1]}" r="2.4"{"" if point[4] else OPEN}/>'
        for at, point in zip(line, points, strict=True)
    )
    day, rate, low, high, _ = points[-1]
    summary = f"{what}, {points[0][0]} to {day}: last {rate:.0%} ({low:.0%} to {high:.0%})"
    return Markup(
        f'<svg class="trend {kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{Markup.escape(summary)}">'
        f'<path class="band" d="M{"L".join(upper)}L{"L".join(reversed(lower))}Z"/>'
        f'<path class="line" d="M{"L".join(line)}"/>{dots}'
        f'<text x="{pad}" y="{pad + 6}">{top:.0%}</text></svg>'
    )
