"""How many looks it takes to notice that a task is done, and how late that is.

Simulated: durations are drawn, the schedule is asked for one delay after the other, and what the looks saw
is fed back, as the poll hub does it. The figure of merit is mean looks times mean notice delay; it does not
depend on how looks and delay are traded. Its optimum for a known distribution is half the square of the
integral of ``sqrt(f·S)``, found by numerical integration; a real schedule adds half a look per task to
that, since looks are whole.

    python -m benchmarks.polling
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from avatarkit.protocol.schedule import Durations, next_delay

MEDIAN, P95 = 120.0, 400.0
SIGMA = math.log(P95 / MEDIAN) / 1.6449
TASKS = 20_000
TABLE = (90.0, 300.0)

Task = tuple[float, float | None]
"""Duration in seconds, and size."""


class Result(NamedTuple):
    looks: float
    delay: float

    @property
    def cost(self) -> float:
        return self.looks * self.delay


def root_integral(sigma: float) -> float:
    """``∫ sqrt(f·S) dt`` of the log-normal with median 1; it grows with the square root of the median."""
    step, total = 0.002, 0.0
    for number in range(int(16 / step)):
        z = -8 + (number + 0.5) * step
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / (sigma * math.exp(sigma * z))
        total += math.sqrt(density * 0.5 * math.erfc(z / math.sqrt(2))) * sigma * math.exp(sigma * z) * step
    return total


def repeat(tasks: list[Task], interval: Callable[[int], float]) -> Result:
    """A schedule that knows nothing: ``interval(n)`` seconds before look number n."""
    looks, delay = 0, 0.0
    for duration, _ in tasks:
        age, number = 0.0, 0
        while age < duration:
            age += interval(number)
            number += 1
        looks += number
        delay += age - duration
    return Result(looks / len(tasks), delay / len(tasks))


def ours(
    tasks: list[Task], durations: Durations, rng: random.Random, *, learn: bool = True, longest: float = 120.0
) -> Result:
    """Our schedule, learning as it goes."""
    looks, delay = 0, 0.0
    for duration, size in tasks:
        age = low = 0.0
        while age < duration:
            low = age
            age += next_delay(durations, age, size, jitter=rng.random(), longest=longest)
            looks += 1
        delay += age - duration
        if learn:
            durations.observe(low, age, size)
    return Result(looks / len(tasks), delay / len(tasks))


def line(name: str, result: Result, optimum: float) -> None:
    print(f"{name:44}{result.looks:8.1f}{result.delay:9.2f}{result.cost:9.1f}{result.cost / optimum:9.2f}")


def head(title: str, optimum: float) -> None:
    print(f"\n{title}\n{'':44}{'looks':>8}{'delay s':>9}{'product':>9}{'x best':>9}")
    print(f"{'optimum, distribution known':44}{'':8}{'':9}{optimum:9.1f}{1:9.2f}")


def fixed(tasks: list[Task], optimum: float) -> None:
    for seconds in (2.0, 5.0, 10.0, 20.0, 30.0):
        line(f"every {seconds:g} s", repeat(tasks, lambda _, s=seconds: s), optimum)
    line("exponential, 1 s doubling to 60 s", repeat(tasks, lambda n: min(2.0**n, 60.0)), optimum)
    line("exponential, 1 s x 1.3 to 30 s", repeat(tasks, lambda n: min(1.3**n, 30.0)), optimum)


def one_kind(rng: random.Random) -> bool:
    """Log-normal durations without sizes."""

    def draw(count: int) -> list[Task]:
        return [(MEDIAN * math.exp(SIGMA * rng.gauss(0, 1)), None) for _ in range(count)]

    tasks = draw(TASKS)
    best = MEDIAN * root_integral(SIGMA) ** 2 / 2
    head(f"log-normal, median {MEDIAN:g} s, 95th percentile {P95:g} s", best)
    fixed(tasks, best)
    line("ours, unlearned, table says 90 s / 300 s", ours(tasks, Durations(*TABLE), rng, learn=False), best)
    line("ours, unlearned, table says 30 s / 100 s", ours(tasks, Durations(30, 100), rng, learn=False), best)
    first = Durations(*TABLE)
    line("ours, tasks 1 to 20", average([ours(draw(20), Durations(*TABLE), rng) for _ in range(200)]), best)
    ours(draw(300), first, rng)
    learned = ours(tasks, first, rng)
    line("ours, learned", learned, best)
    good = learned.cost <= 1.15 * best
    print(f"goal: learned at most 1.15 x: {'reached' if good else 'NOT reached'}")
    return good


def average(results: list[Result]) -> Result:
    return Result(
        sum(result.looks for result in results) / len(results),
        sum(result.delay for result in results) / len(results),
    )


def mix(rng: random.Random, sigma: float, overhead: float) -> bool:
    """Tasks of 15 s to 30 min, spread evenly over the logarithm; a third of a second of audio per second."""
    roots: list[float] = []

    def draw(count: int) -> list[Task]:
        tasks: list[Task] = []
        for _ in range(count):
            middle = math.exp(rng.uniform(math.log(15), math.log(1800)))
            size = max(middle - overhead, 1.0) / 3
            roots.append(math.sqrt(middle))
            tasks.append((middle * math.exp(sigma * rng.gauss(0, 1)), size))
        return tasks

    tasks = draw(TASKS // 2)
    best = (sum(roots) / len(roots) * root_integral(sigma)) ** 2 / 2
    extra = f" and {overhead:g} s of overhead" if overhead else ""
    head(f"mix of 15 s to 30 min, in proportion to size{extra}, spread {sigma:g} around it", best)
    fixed(tasks, best)
    blind, seeing, tight = (Durations(*TABLE) for _ in range(3))
    line("ours, unlearned", ours(tasks, Durations(*TABLE), rng, learn=False), best)
    line("ours, sizes not told", ours([(seconds, None) for seconds, _ in tasks], blind, rng), best)
    line("ours, tasks 1 to 20", average([ours(draw(20), Durations(*TABLE), rng) for _ in range(100)]), best)
    ours(draw(300), tight, rng, longest=60.0)
    line("ours, learned, never over 60 s", ours(tasks, tight, rng, longest=60.0), best)
    ours(draw(300), seeing, rng)
    learned = ours(tasks, seeing, rng)
    line("ours, learned, never over 120 s (default)", learned, best)
    good = learned.cost <= 1.3 * best
    print(f"goal: learned at most 1.3 x: {'reached' if good else 'NOT reached'}")
    return good


def price() -> bool:
    """What one decision and one observation cost."""
    durations = Durations(*TABLE)
    for _ in range(100):
        durations.observe(80.0, 100.0, 30.0)
    rounds = 100_000
    spent: dict[str, float] = {}
    for name, size in (("without size", None), ("with size", 30.0)):
        began = time.process_time()
        for number in range(rounds):
            next_delay(durations, number % 300, size, jitter=0.3)
        spent[name] = (time.process_time() - began) / rounds * 1e6
    began = time.process_time()
    for _ in range(rounds // 10):
        durations.observe(80.0, 100.0, 30.0)
    learning = (time.process_time() - began) / (rounds // 10) * 1e6
    text = ", ".join(f"{name} {cost:.2f} us" for name, cost in spent.items())
    good = max(spent.values()) <= 2.0
    print(
        f"\nnext_delay {text} (goal 2 us: {'reached' if good else 'NOT reached'}); observe {learning:.1f} us"
    )
    return good


def main() -> int:
    rng = random.Random(20261121)
    good = [one_kind(rng)]
    good += [mix(rng, sigma, overhead) for sigma in (0.25, 0.4) for overhead in (0.0, 10.0)]
    good.append(price())
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
