"""The report's charts: shapes as inline SVG, words as HTML beside them, so that words keep their size on any screen."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from avatarkit.bulk.progress import seconds_text
from avatarkit.bulk.report_facts import Bin, histogram, quantile
from avatarkit.bulk.report_text import escaped, moment

_WIDE = 1000
_HIGH = 100
_DAY = 86_400.0
_ROWS = 24  # of the table behind the timeline
_QUANTILES = (("fastest", 0.0), ("half within", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("slowest", 1.0))


def bar(parts: Sequence[tuple[str, str, int]]) -> str:
    """One bar of *parts*: class, name and count each; something is never shown as nothing."""
    total = sum(count for _, _, count in parts) or 1
    at, rects = 0.0, []
    for name, _, count in parts:
        if count:
            width = max(_WIDE * count / total, 4.0)
            rects.append(f'<rect class="{name}" x="{at:.1f}" y="0" width="{width:.1f}" height="10"/>')
            at += width
    words = ", ".join(f"{count:,} {label}" for _, label, count in parts if count) or "no jobs"
    return _svg("".join(rects), words, wide=max(at, _WIDE), high=10, kind="bar")


def share_bar(share: float, kind: str) -> str:
    """A small bar for a share of the whole; decoration beside the number it shows."""
    width = max(1.0, min(1.0, share) * _HIGH)
    rect = f'<rect class="{kind}" width="{width:.1f}" height="8"/>'
    return f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{rect}</svg>'


def _svg(
    shapes: str, words: str, *, wide: float = _WIDE, high: int = _HIGH, kind: str = "", title: str = ""
) -> str:
    given = f' class="{kind}"' if kind else ""
    title = title or words
    return (
        f'<svg{given} viewBox="0 0 {wide:g} {high}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escaped(words)}"><title>{escaped(title)}</title>{shapes}</svg>'
    )


def timeline(bins: Sequence[Bin], width: float, cap: int | None) -> str:
    """How many tasks were running, and what ended, over time."""
    if len(bins) < 2 or not any(each.running or each.done or each.failed for each in bins):
        return '<p class="soft">Nothing has been submitted yet.</p>'
    peak = max(each.running for each in bins)
    most = max(each.done + each.failed for each in bins)
    form = _form(bins, width)
    span = f"from {moment(bins[0].at)} to {moment(bins[-1].at + width)} UTC"
    rows = "|".join(_in_words(each, width, form) for each in bins)
    beyond = f", {cap:,} allowed" if cap is not None else ""
    running = _svg(_running(bins, peak, cap), f"Tasks running {span}; at most {peak:,}", title="Running")
    ended = _svg(_ended(bins, most), f"Videos ended {span}; at most {most:,} in one stretch", title="Ended")
    return f"""<figure data-rows="{escaped(rows, 60_000)}">
<figcaption>Running at the provider, and videos ended in each {seconds_text(width)}; times are UTC</figcaption>
<div class="chart">{running}
<span class="top">{peak:,} running at most{beyond}</span></div>
<div class="chart low">{ended}
<span class="top">{most:,} ended at most</span></div>
<div class="axis">{"".join(f"<span>{moment(at, form)}</span>" for at in _ticks(bins, width))}</div>
<p class="readout soft" role="status"></p>
</figure>
{_table(bins, width, form)}"""


_MARK = f'<line class="mark" x1="0" x2="0" y1="0" y2="{_HIGH}" visibility="hidden"/>'


def _running(bins: Sequence[Bin], peak: int, cap: int | None) -> str:
    top = max(1, peak, cap if cap is not None and cap <= 2 * peak else 0) * 1.18
    step = _WIDE / len(bins)
    path = [f"M0 {_HIGH}"]
    for n, each in enumerate(bins):
        y = _HIGH * (1.0 - each.running / top)
        path.append(f"L{n * step:.1f} {y:.1f}H{(n + 1) * step:.1f}")
    shapes = f'<path class="area" d="{"".join(path)}V{_HIGH}Z"/>'
    if cap is not None and cap <= top:
        y = _HIGH * (1.0 - cap / top)
        shapes += f'<line class="cap" x1="0" x2="{_WIDE}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return shapes + _MARK


def _ended(bins: Sequence[Bin], most: int) -> str:
    top = max(1, most) * 1.3
    step = _WIDE / len(bins)
    rects = []
    for n, each in enumerate(bins):
        y = float(_HIGH)
        for name, count in (("done", each.done), ("failed", each.failed)):
            if count:
                high = max(1.0, _HIGH * count / top)
                y -= high
                place = f'x="{n * step:.1f}" y="{y:.1f}" width="{max(0.6, step * 0.86):.1f}"'
                rects.append(f'<rect class="{name}" {place} height="{high:.1f}"/>')
    return "".join(rects) + _MARK


def _form(bins: Sequence[Bin], width: float) -> str:
    length = width * len(bins)
    if length > 2 * _DAY or moment(bins[0].at, "%j") != moment(bins[-1].at, "%j"):
        return "%m-%d %H:%M"
    return "%H:%M:%S" if length < 1800 else "%H:%M"


def _ticks(bins: Sequence[Bin], width: float) -> list[float]:
    start, length = bins[0].at, width * len(bins)
    return [start, start + length / 2, start + length]


def _in_words(each: Bin, width: float, form: str) -> str:
    failed = f", {each.failed:,} failed" if each.failed else ""
    when = f"{moment(each.at, form)} to {moment(each.at + width, form)}"
    return f"{when}: {each.running:,} running, {each.done:,} done{failed}"


def _table(bins: Sequence[Bin], width: float, form: str) -> str:
    """The timeline for those who read rather than see, in at most 24 rows."""
    step = -(-len(bins) // _ROWS)
    rows = []
    for n in range(0, len(bins), step):
        some = bins[n : n + step]
        cells = (some[-1].running, sum(each.done for each in some), sum(each.failed for each in some))
        numbers = "".join(f'<td class="number">{count:,}</td>' for count in cells)
        rows.append(f"<tr><td>{moment(some[0].at, form)}</td>{numbers}</tr>")
    names = "".join(f'<th scope="col" class="number">{name}</th>' for name in ("Running", "Done", "Failed"))
    return (
        f'<details><summary>As a table</summary><div class="scroll"><table><thead><tr><th scope="col">'
        f"From, for {seconds_text(width * step)}</th>{names}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def durations(took: array[float]) -> str:
    """How long tasks took: a histogram and quantiles."""
    if not took:
        return '<p class="soft">No video is done yet.</p>'
    ordered = array("d", sorted(took))
    width, counts = histogram(ordered)
    most, step = max(counts), _WIDE / len(counts)
    rects = "".join(
        f'<rect class="column" x="{n * step:.1f}" y="{_HIGH - (high := max(0.8, 78 * count / most)):.1f}"'
        f' width="{step * 0.9:.1f}" height="{high:.1f}"/>'
        for n, count in enumerate(counts)
        if count
    )
    last = len(counts) - 1
    far = counts[-1] and ordered[-1] >= (last + 1) * width
    names = [f"{seconds_text(n * width)} to {seconds_text((n + 1) * width)}" for n in range(len(counts))]
    if far:
        names[-1] = f"{seconds_text(last * width)} or more"
    rows = "|".join(f"{name}: {count:,} videos" for name, count in zip(names, counts, strict=True))
    words = f"Seconds from acceptance to end, for {len(ordered):,} videos; half took at most "
    words += seconds_text(quantile(ordered, 0.5))
    end = f"{seconds_text(last * width)} or more" if far else seconds_text((last + 1) * width)
    values = "".join(
        f"<div><dt>{name}</dt><dd>{seconds_text(quantile(ordered, share))}</dd></div>"
        for name, share in _QUANTILES
    )
    return f"""<figure data-rows="{escaped(rows, 60_000)}">
<figcaption>From acceptance to its end at the provider, {len(ordered):,} videos</figcaption>
<div class="chart">{_svg(rects + _MARK, words, title="Durations")}<span class="top">{most:,} videos at most</span></div>
<div class="axis"><span>0 s</span><span>{end}</span></div>
<p class="readout soft" role="status"></p>
</figure>
<dl class="quantiles">{values}</dl>"""
