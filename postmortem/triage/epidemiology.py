"""Where and when crashes of one bucket come more often than chance would have it.

Over-representation: Fisher's exact test, one-sided, of each value of an attribute against all other crashes, corrected
for all the tests that were made (Bonferroni). Periodicity: Rayleigh's test at the periods that people set up (5 min,
15 min, 1 h, 1 day), and the H-test (de Jager, Raubenheimer and Swanepoel 1989; its significance de Jager and Büsching
2010) over a grid of periods, corrected for the number of periods looked at. A crash that its supervisor's restart
repeats at once is counted once.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from postmortem.model.triage import Excess, Period, Suspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from postmortem.model.triage import Crash

LEAST_EVENTS = 8
MOST_P = 1e-4
USUAL_PERIODS = (300.0, 900.0, 3600.0, 86400.0)
RESTART = 120.0
"""Seconds after a crash in which another one on the same host is taken for its restart."""
_GROWTH = 2.5
_CAP, LONGEST_WAIT = 300.0, 360.0
"""Seconds for which a supervisor waits at most, and with what a start takes."""
_AT_MOST = (0.9 * _CAP, 1.1 * _CAP)
_SLACK = 2.0
_ROW, _LEAST_ROW = 10, 3
"""Neighbours whose waits are compared, and the least that tell."""
_MULTIPLES, _AS_MUCH = 12, 0.95
_HARMONICS = 10
_SHORTEST, _LEAST_CYCLES = 60.0, 3.0
_OVERSAMPLING = 10.0
"""Steps of the grid within 1 / span: as many as there are harmonics, or the higher ones are missed."""
_MOST_TRIALS = 10_000
_MOST_EVENTS = 500
_MOST_CALLED = 3

ATTRIBUTES: Mapping[str, Callable[[Crash], str | None]] = {
    "host": lambda crash: crash.host,
    "cpu": lambda crash: crash.cpu,
    "kernel": lambda crash: crash.kernel,
    "version": lambda crash: crash.version,
    "package": lambda crash: crash.package,
}

_OF_PROGRAM = ("version", "package")
"""Attributes that other programs have other values of: only crashes of the same programs are what they are held to."""


def fisher(inside: int, bucket: int, outside: int, others: int) -> float:
    """P that at least `inside` of `bucket` have a value that `inside` + `outside` of all have, by chance alone."""
    with_value, total = inside + outside, bucket + others
    most = min(bucket, with_value)

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    base = log_choose(total, bucket)
    terms = (
        log_choose(with_value, k) + log_choose(total - with_value, bucket - k) - base
        for k in range(inside, most + 1)
        if bucket - k <= total - with_value
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def over_represented(buckets: Mapping[str, Sequence[Crash]]) -> dict[str, tuple[Excess, ...]]:
    """For each bucket the values of attributes that stand out."""
    tests: list[tuple[str, str, str, int, int, int, int]] = []
    for attribute, value_of in ATTRIBUTES.items():
        own = attribute in _OF_PROGRAM
        counts: dict[str, Counter[str]] = {}
        by_program: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
        programs: dict[str, set[str | None]] = {}
        for name, crashes in buckets.items():
            known = [
                (value, crash.program if own else None) for crash in crashes if (value := value_of(crash)) is not None
            ]
            counts[name] = Counter(value for value, _ in known)
            programs[name] = {program for _, program in known}
            for value, program in known:
                by_program[program][value] += 1
        for name, found in counts.items():
            everywhere: Counter[str] = sum((by_program[program] for program in programs[name]), Counter())
            total, bucket = everywhere.total(), found.total()
            for value, inside in found.items():
                tests.append((name, attribute, value, inside, bucket, everywhere[value] - inside, total - bucket))
    found_in: dict[str, list[Excess]] = {name: [] for name in buckets}
    for name, attribute, value, inside, bucket, outside, others in tests:
        if bucket < LEAST_EVENTS or others < LEAST_EVENTS or inside * (bucket + others) <= bucket * (inside + outside):
            continue
        p = min(1.0, fisher(inside, bucket, outside, others) * len(tests))
        if p <= MOST_P:
            found_in[name].append(
                Excess(
                    attribute=attribute, value=value, inside=inside, bucket=bucket, outside=outside, others=others, p=p
                )
            )
    return {name: tuple(sorted(found, key=lambda item: item.p)[:_MOST_CALLED]) for name, found in found_in.items()}


def suspects(buckets: Mapping[str, Sequence[Crash]]) -> tuple[Suspect, ...]:
    """Hosts whose crashes are of many kinds that other hosts do not see: their hardware, before any program."""
    per_host: dict[str, Counter[str]] = {}
    for name, crashes in buckets.items():
        for crash in crashes:
            if crash.host is not None:
                per_host.setdefault(crash.host, Counter())[name] += 1
    if len(per_host) < 2:
        return ()
    hosts_of = Counter(name for found in per_host.values() for name in found)
    signatures = len(hosts_of)
    singles = {host: sum(1 for name in found if hosts_of[name] == 1) for host, found in per_host.items()}
    crashes_total = sum(found.total() for found in per_host.values())
    called = []
    for host, own in singles.items():
        if own < LEAST_EVENTS:
            continue
        # If kinds were spread as hosts are, each would be this host's with probability 1 / hosts.
        p = min(1.0, _binomial_tail(own, sum(singles.values()), 1 / len(per_host)) * len(per_host))
        if p <= MOST_P and own / signatures >= 0.5:
            called.append(Suspect(host=host, crashes=per_host[host].total(), of=crashes_total, signatures=own, p=p))
    return tuple(sorted(called, key=lambda item: item.p))


def _binomial_tail(least: int, n: int, p: float) -> float:
    terms = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(least, n + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def events(crashes: Sequence[Crash]) -> list[float]:
    """Times of crashes, restarts left out: of a row of crashes of one host, each the restart of the last, the first."""
    rows: defaultdict[str | None, list[tuple[float, float | None]]] = defaultdict(list)
    for crash in crashes:
        if crash.time is not None:
            rows[crash.host].append((crash.time, crash.uptime))
    return sorted(
        at for host, row in rows.items() for at in _without_restarts(sorted(row, key=_time), host is not None)
    )


def _time(event: tuple[float, float | None]) -> float:
    return event[0]


def _without_restarts(row: Sequence[tuple[float, float | None]], one_host: bool) -> Iterator[float]:
    """A supervisor waits longer from restart to restart (Kubernetes: 10 s, doubled up to 5 min).

    A period of five minutes has no such beginning: only a wait that a shorter one led up to counts as one. Where it is
    known how long a process had run, the wait is from the last crash to its start.
    """
    waited = 0.0
    for index, (at, uptime) in enumerate(row):
        if index == 0:
            yield at
            continue
        gap = at - row[index - 1][0]
        began_before = uptime is not None and uptime > gap + _SLACK
        wait = gap if uptime is None else max(gap - uptime, 0.0)
        longest = min(max(RESTART, _GROWTH * waited), LONGEST_WAIT) if one_host else RESTART
        quick = wait <= longest and (uptime is None or uptime <= RESTART)
        if not began_before and (quick or (one_host and _since_last_crash(row, index))):
            waited = max(waited, wait)
            continue
        waited = 0.0
        yield at


def _since_last_crash(row: Sequence[tuple[float, float | None]], index: int) -> bool:
    """Starts follow crashes by a supervisor's longest wait, more evenly than they follow each other, as by a clock."""
    waits: dict[int, float] = {}
    between: list[float] = []
    for at in range(max(index - _ROW, 1), min(index + _ROW, len(row))):
        (before, ran), (time, runs) = row[at - 1], row[at]
        if runs is None or ran is None or not _AT_MOST[0] <= time - runs - before <= _AT_MOST[1]:
            continue
        waits[at] = time - runs - before
        between.append(waits[at] + ran)
    if len(waits) < _LEAST_ROW or index not in waits:
        return False
    found = list(waits.values())
    by_wait, by_clock = (np.std(times) + abs(np.mean(times) - _CAP) for times in (found, between))
    return float(by_wait) < float(by_clock)


def periodicity(times: Sequence[float]) -> Period | None:
    """The period that stands out, if one does."""
    if len(times) < LEAST_EVENTS:
        return None
    at = np.sort(np.asarray(times[-_MOST_EVENTS:], dtype=np.float64))
    at -= at[0]
    span = float(at[-1])
    found: list[Period] = []
    usual = [period for period in USUAL_PERIODS if period * _LEAST_CYCLES <= span]
    for period in usual:
        trials = 2 * len(usual)
        found.append(
            Period(seconds=period, p=min(1.0, _rayleigh(at, period) * trials), events=len(at), test="rayleigh")
        )
        statistic = float(_statistics(at, np.array([1 / period]))[0])
        found.append(Period(seconds=period, p=_chance(statistic, len(at), trials), events=len(at), test="h-test"))
    best = _h_test(at, span)
    if best is not None:
        found.append(best)
    called = [period for period in found if period.p <= MOST_P]
    best = min(called, key=lambda period: period.p, default=None)
    return best if best is None or best.seconds not in usual else _multiple(at, span, best)


def _multiple(at: np.ndarray, span: float, found: Period) -> Period:
    """What comes every ten minutes comes at the full five minutes, too: the longest multiple that tells as much."""
    whole = _resultant(at, found.seconds)
    for times in range(_MULTIPLES, 1, -1):
        period = times * found.seconds
        p = min(1.0, _rayleigh(at, period) * _MULTIPLES)
        if period * _LEAST_CYCLES <= span and p <= MOST_P and _resultant(at, period) >= _AS_MUCH * whole:
            return Period(seconds=period, p=p, events=found.events, test="rayleigh")
    return found


def _resultant(at: np.ndarray, period: float) -> float:
    return float(abs(np.exp(2j * np.pi * at / period).mean()))


def _rayleigh(at: np.ndarray, period: float) -> float:
    n = len(at)
    z = abs(np.exp(2j * np.pi * at / period).sum()) ** 2 / n
    # Wilkie's approximation (1983), good for small n.
    return float(min(1.0, math.exp(math.sqrt(1 + 4 * n + 4 * (n * n - n * z)) - (1 + 2 * n)) if z < n else 0.0))


def _fall(n: int) -> float:
    """How fast the chance of H falls: P(H > h) <= exp(-fall * h).

    The published 0.4 holds for many events. For few, simulation of uniform phases (160,000 to 400,000 for each of 8 to
    100 events) has heavier tails; these bounds lie above all of its quantiles down to 2e-5.
    """
    return 0.2 if n < 15 else 0.25 if n < 30 else 0.3


def _statistics(at: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """H at each frequency."""
    phases = np.exp(2j * np.pi * np.outer(frequencies, at))
    power, total, statistic = phases.copy(), np.zeros(len(frequencies)), np.zeros(len(frequencies))
    for harmonic in range(1, _HARMONICS + 1):
        total += 2 / len(at) * np.abs(power.sum(axis=1)) ** 2
        statistic = np.maximum(statistic, total - 4 * harmonic + 4)
        power *= phases
    return statistic


def _chance(statistic: float, n: int, trials: int) -> float:
    return min(1.0, math.exp(-_fall(n) * statistic) * trials)


def _h_test(at: np.ndarray, span: float) -> Period | None:
    """Over periods of a minute to a third of the span, evenly in frequency."""
    longest = span / _LEAST_CYCLES
    if longest <= _SHORTEST:
        return None
    step = 1 / (_OVERSAMPLING * span)
    trials = int((1 / _SHORTEST - 1 / longest) / step) + 1
    if trials > _MOST_TRIALS:
        trials = _MOST_TRIALS
    frequencies = 1 / longest + step * np.arange(trials)
    best, at_frequency = 0.0, float(frequencies[0])
    for start in range(0, trials, 512):
        part = frequencies[start : start + 512]
        statistics = _statistics(at, part)
        index = int(np.argmax(statistics))
        if statistics[index] > best:
            best, at_frequency = float(statistics[index]), float(part[index])
    p = _chance(best, len(at), trials)
    return Period(seconds=round(1 / at_frequency, 1), p=p, events=len(at), test="h-test")
