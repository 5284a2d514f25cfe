"""How long tasks of a kind take, learned from looking at them now and then.

Durations are modelled per kind as log-normal around a median that is a power of the task's size, plus a small
share of strays with a long tail, which keeps the model honest about tasks that end early or hang. All is
learned from what looks can tell, namely "still running at *low*, done at *high*". Pure arithmetic.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import attrs

_LARGEST_STEP = 0.25  # a kind of a few seconds is looked at four times all the same: somebody sits and waits

_WINDOW = 256.0  # older observations fade with this time constant, counted in observations
_SLOPE, _SLOPE_WEIGHT = 0.7, 1.0  # what is believed of size before anything was seen, and how firmly
_DOUBT = 0.5  # how far off the provider's table may be, as a standard deviation of the logarithm
_PRIOR_SPREADS = 3.0  # how many observations the table's spread is worth
_SIGMA_STEP = math.log(1.1)
_SIGMAS = (0.05, 2.5)
_STRAY_SHAPE = 1.5
_MOST = 1e12  # no count and no sum that was learned gets there: what is larger comes from a broken file
_TINY, _HUGE = 1e-3, 1e7


class _Curve(NamedTuple):
    """Cumulative looks against age, both scaled to a median of one; straight between the knots."""

    ages: list[float]
    looks: list[float]


class _Fit(NamedTuple):
    center: float
    slope: float
    sigma: float
    curve: _Curve


@lru_cache(maxsize=256)
def _curve(sigma_step: int, stray_step: int) -> _Curve:
    """Integrate ``sqrt(hazard)`` for a spread and a share of strays, both rounded: few curves exist."""
    sigma, strays = math.exp(sigma_step * _SIGMA_STEP), math.pow(0.5, stray_step)
    knots = {math.exp(sigma * step / 4) for step in range(-20, 21)}
    knots |= {math.exp(step / 4) for step in range(-20, 25)}
    ages, looks = [0.0], [0.0]
    for age in sorted(knots):
        width = (age - ages[-1]) / 4
        middles = (ages[-1] + width * (part + 0.5) for part in range(4))
        looks.append(looks[-1] + width * sum(math.sqrt(_hazard(u, sigma, strays)) for u in middles))
        ages.append(age)
    return _Curve(ages, looks)


def _hazard(age: float, sigma: float, strays: float) -> float:
    z = math.log(age) / sigma
    alive = 0.5 * math.erfc(z / math.sqrt(2.0))
    ends = math.exp(-0.5 * z * z) / (sigma * age * math.sqrt(2.0 * math.pi))
    tail = 1.0 / (1.0 + math.pow(age, _STRAY_SHAPE))
    tail_ends = _STRAY_SHAPE * math.pow(age, _STRAY_SHAPE - 1.0) * tail * tail
    return ((1.0 - strays) * ends + strays * tail_ends) / ((1.0 - strays) * alive + strays * tail)


@attrs.define
class _Moments:
    """Fading, centred sums of logarithms: ``x`` of size, ``y`` of duration."""

    n: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def add(self, x: float, y: float, spread: float) -> None:
        """Take in one observation whose ``y`` is itself uncertain by the variance *spread*."""
        keep = 1.0 - 1.0 / _WINDOW
        self.n = self.n * keep + 1.0
        dx, dy = x - self.x, y - self.y
        self.x += dx / self.n
        self.y += dy / self.n
        self.xx = self.xx * keep + dx * (x - self.x)
        self.xy = self.xy * keep + dx * (y - self.y)
        self.yy = self.yy * keep + dy * (y - self.y) + spread


@attrs.define
class Durations:
    """What is known of how long tasks of one kind take.

    Starts from the provider's table and learns from every finished task. Small (some twenty numbers), so
    one can be kept per kind and account.

    Attributes:
        median: seconds in which half of the tasks are done, by the provider's table. Above 0.
        p95: seconds in which 95 of 100 are done. Above *median*, else it is taken as three times the median.

    """

    median: float
    p95: float
    _count: int = attrs.field(default=0, init=False)
    _strays: float = attrs.field(default=0.0, init=False)
    _all: _Moments = attrs.field(factory=_Moments, init=False, repr=False)
    _sized: _Moments = attrs.field(factory=_Moments, init=False, repr=False)
    _blind_fit: _Fit | None = attrs.field(default=None, init=False, repr=False, eq=False)
    _sized_fit: _Fit | None = attrs.field(default=None, init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if not (math.isfinite(self.median) and self.median > 0.0):
            raise ValueError(f"median must be above 0 seconds, got {self.median!r}")
        if not (math.isfinite(self.p95) and self.p95 > self.median):
            self.p95 = 3.0 * self.median
        self._learn()

    @property
    def samples(self) -> int:
        """How many finished tasks were observed."""
        return self._count

    def expected(self, size: float | None = None) -> float:
        """The median duration in seconds of a task of this *size* (None: not known)."""
        return self._of(size)[1]

    def observe(self, low: float, high: float, size: float | None = None) -> None:
        """Learn from one finished task.

        Args:
            low: its age in seconds at the last look that found it running; 0 when there was none.
            high: its age at the first look that found it done. Equal to *low* when the moment is known.
            size: seconds of audio or characters of text, the same unit for the whole kind; None: not known.

        Nonsense (not finite, nothing positive) is ignored.

        """
        if not (math.isfinite(low) and math.isfinite(high)) or high <= 0.0:
            return
        top = math.log(min(max(high, _TINY), _HUGE))
        # A first look that finds the task done says little of how early it ended: e**2 before it at most.
        bottom = max(math.log(min(max(low, _TINY * 0.1), _HUGE)), top - 2.0)
        x = _log_size(size)
        fit = self._blind() if x is None or self._sized_fit is None else self._sized_fit
        center = fit.center + (fit.slope * x if x is not None else 0.0)
        y, spread = _impute(min(bottom, top), top, center, fit.sigma)
        reach = 3.0 * max(fit.sigma, 0.25)
        stray = abs(y - center) > reach
        y = min(max(y, center - reach), center + reach)
        self._count += 1
        self._strays = self._strays * (1.0 - 1.0 / _WINDOW) + stray
        self._all.add(0.0, y, spread)
        if x is not None:
            self._sized.add(x, y, spread)
        self._learn()

    def gap(self, age: float, size: float | None, looks: float) -> float:
        """Seconds from *age* until ``∫ sqrt(hazard)`` has grown by *looks*; infinite far beyond the model.

        For medians below 16 s it grows faster, in proportion to the duration.
        """
        fit, median = self._of(size)
        ages, cumulated = fit.curve
        scaled = age / median
        at = bisect_right(ages, scaled)
        if at == len(ages):
            return math.inf
        left, base = ages[at - 1], cumulated[at - 1]
        done = base + (scaled - left) * (cumulated[at] - base) / (ages[at] - left)
        goal = done + looks * (1.0 / math.sqrt(median) if median > _LARGEST_STEP**-2 else _LARGEST_STEP)
        at = bisect_left(cumulated, goal, at)
        if at == len(ages):
            return math.inf
        left, base = ages[at - 1], cumulated[at - 1]
        return (left + (goal - base) * (ages[at] - left) / (cumulated[at] - base) - scaled) * median

    def share(self, age: float, size: float | None) -> float:
        """The mean of ``age / duration`` over the tasks of this *size* that are still running at *age*."""
        fit, median = self._of(size)
        sigma = fit.sigma
        z = math.log(max(age / median, 1e-12)) / sigma
        alive = math.erfc(z / math.sqrt(2.0))
        if alive < 1e-200:
            return 1.0
        return age / median * math.exp(0.5 * sigma * sigma) * math.erfc((z + sigma) / math.sqrt(2.0)) / alive

    def to_dict(self) -> dict[str, float]:
        """All that was learned, as a small dict of floats; see :meth:`from_dict`."""
        state = {"median": self.median, "p95": self.p95, "count": float(self._count), "strays": self._strays}
        for name, sums in (("all", self._all), ("sized", self._sized)):
            state |= {f"{name}.{field}": value for field, value in attrs.asdict(sums).items()}
        return state

    @classmethod
    def from_dict(cls, state: Mapping[str, float]) -> Durations:
        """Rebuild from :meth:`to_dict`.

        Missing or unusable numbers mean that nothing was learned; only ``median`` and ``p95`` must be there
        (KeyError, ValueError).
        """
        new = cls(float(state["median"]), float(state["p95"]))
        try:
            sums = [
                _Moments(
                    **{field.name: float(state[f"{name}.{field.name}"]) for field in attrs.fields(_Moments)}
                )
                for name in ("all", "sized")
            ]
            count, strays = float(state["count"]), float(state["strays"])
        except (ArithmeticError, KeyError, TypeError, ValueError):
            return new
        if _sane(count, strays, *sums):
            new._count, new._strays = int(count), strays
            new._all, new._sized = sums
            new._learn()
            new._blind()  # what cannot be reckoned with is to be found now
        return new

    def _of(self, size: float | None) -> tuple[_Fit, float]:
        fit = self._sized_fit
        if size is None or fit is None or not size > 0.0:
            fit = self._blind()
            return fit, math.exp(fit.center)
        center = fit.center + fit.slope * math.log(size)
        return fit, math.exp(center if -6.9 < center < 16.1 else min(max(center, -6.9), 16.1))

    def _mean(self) -> float:
        sums = self._all
        return (sums.n * sums.y + 0.5 * math.log(self.median)) / (sums.n + 0.5)

    def _blind(self) -> _Fit:
        """The fit that knows nothing of size. Where sizes are known it is hardly asked for, so it is made then."""
        if self._blind_fit is None:
            sums = self._all
            off = sums.y - math.log(self.median)
            wrong = sums.n * 0.5 / (sums.n + 0.5) * off**2 if sums.n < 4.0 else 0.0
            self._blind_fit = self._shape(self._mean(), 0.0, sums.yy + wrong, sums.n)
        return self._blind_fit

    def _learn(self) -> None:
        """Turn the sums into the fit that uses size, and forget the one that does not."""
        self._blind_fit = self._sized_fit = None
        sums = self._sized
        if sums.n == 0.0:
            return
        slope = (sums.xy + _SLOPE_WEIGHT * _SLOPE) / (sums.xx + _SLOPE_WEIGHT)
        slope = min(max(slope, 0.0), 2.0)
        left = max(sums.yy - 2.0 * slope * sums.xy + slope * slope * sums.xx, 0.0)
        mean = (sums.n * sums.y + 0.5 * self._mean()) / (sums.n + 0.5)
        self._sized_fit = self._shape(mean - slope * sums.x, slope, left, sums.n)

    def _shape(self, center: float, slope: float, squares: float, n: float) -> _Fit:
        table = math.log(self.p95 / self.median) / 1.645
        variance = (_PRIOR_SPREADS * table * table + squares) / (_PRIOR_SPREADS + n)
        # Not knowing the median well widens what is to be expected.
        variance += 1.0 / (1.0 / (_DOUBT * _DOUBT) + n / variance)
        sigma = min(max(math.sqrt(variance), _SIGMAS[0]), _SIGMAS[1])
        strays = (0.5 + self._strays) / (5.0 + min(self._count, _WINDOW))
        curve = _curve(round(math.log(sigma) / _SIGMA_STEP), round(-math.log2(strays)))
        return _Fit(center, slope, sigma, curve)


def _log_size(size: float | None) -> float | None:
    if size is None or not (math.isfinite(size) and size > 0.0):
        return None
    return math.log(min(max(size, 1e-3), 1e9))


def _impute(low: float, high: float, center: float, sigma: float) -> tuple[float, float]:
    """Mean and variance of a log-duration known to lie in an interval, by the current model.

    The model is widened for it, or a wrong one would confirm itself: seen from far away, all that an interval
    says is "at the end that is nearer to what I believe".
    """
    width = high - low
    sigma = max(sigma, 0.7)
    if width < 0.5 * sigma:
        return (low + high) / 2.0, width * width / 12.0
    a, b = (low - center) / sigma, (high - center) / sigma
    inside = 0.5 * (math.erfc(a / math.sqrt(2.0)) - math.erfc(b / math.sqrt(2.0)))
    if inside < 1e-3:
        return (low + high) / 2.0, width * width / 12.0
    at_a, at_b = (math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) for z in (a, b))
    shift = (at_a - at_b) / inside
    variance = 1.0 + (a * at_a - b * at_b) / inside - shift * shift
    return min(max(center + sigma * shift, low), high), max(variance, 0.0) * sigma * sigma


def _sane(count: float, strays: float, *sums: _Moments) -> bool:
    numbers = [count, strays, *(value for part in sums for value in attrs.astuple(part))]
    if not all(abs(value) <= _MOST for value in numbers):
        return False
    return min(count, strays, *(min(part.n, part.xx, part.yy) for part in sums)) >= 0.0
