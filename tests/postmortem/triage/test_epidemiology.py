"""What is planted is found; what chance makes is not called out."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest

from postmortem.triage.epidemiology import events, fisher, over_represented, periodicity, suspects
from tests.postmortem.triage.crashes import crash

if TYPE_CHECKING:
    from postmortem.model.triage import Crash

DAY = 86400.0


def at(*times: float, host: str | None = None) -> list[Crash]:
    return [crash(number=number, time=time, host=host) for number, time in enumerate(times)]


def test_fisher_is_the_hypergeometric_tail() -> None:
    # 3 of 4 inside, 1 of 6 outside: by hand, (C(4,3) C(6,1) + C(4,4)) / C(10,4).
    assert fisher(3, 4, 1, 6) == pytest.approx((4 * 6 + 1) / math.comb(10, 4))
    assert fisher(0, 4, 4, 6) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_period_is_found(seed: int) -> None:
    chance = random.Random(seed)
    begin = chance.uniform(0, DAY)
    planted = [begin + number * 900 + chance.uniform(-20, 20) for number in range(14)]
    others = [begin + chance.uniform(0, 14 * 900) for _ in range(6)]
    found = periodicity(sorted([*planted, *others]))
    assert found is not None
    assert found.p <= 1e-4
    assert found.events == 20
    assert found.seconds == pytest.approx(900, rel=0.02)


def test_few_events_and_chance_are_no_period() -> None:
    assert periodicity([number * 900.0 for number in range(7)]) is None
    called = 0
    for seed in range(200):
        chance = random.Random(seed)
        span = chance.choice((DAY / 4, DAY, 7 * DAY, 30 * DAY))
        called += periodicity(sorted(chance.uniform(0, span) for _ in range(chance.randint(8, 60)))) is not None
    assert called == 0


def test_a_restart_loop_is_one_event() -> None:
    loop = [start + number * 10.0 for start in (0.0, 5000.0) for number in range(30)]
    assert events(at(*loop, host="n1")) == [0.0, 5000.0]
    assert len(events([*at(0.0, host="n1"), *at(10.0, host="n2")])) == 2


def test_the_long_waits_of_a_crash_loop_are_no_period() -> None:
    """As Kubernetes restarts a container: 10 s, doubled up to 5 min, and what it takes until it crashes again."""
    chance = random.Random(5)
    times = []
    for _ in range(5):
        moment = chance.uniform(0, 28 * DAY)
        for wait in (0, 10, 20, 40, 80, 160, 300, 300, 300, 300):
            moment += wait + chance.uniform(1, 3)
            times.append(moment)
    found = events(at(*sorted(times), host="n1"))
    assert len(found) == 5
    assert periodicity(events(at(*sorted(times), host="n1"))) is None


def test_a_true_period_of_five_minutes_stays() -> None:
    chance = random.Random(6)
    times = [number * 300.0 + chance.uniform(-3, 3) for number in range(20)]
    restarts = [time + 8.0 for time in times[::4]]
    found = events(at(*sorted([*times, *restarts]), host="n1"))
    assert len(found) == 20
    period = periodicity(found)
    assert period is not None and period.seconds == pytest.approx(300, rel=0.01)


@pytest.mark.parametrize("seconds", [300, 600, 900, 1800, 3600, 6 * 3600, DAY, 7 * DAY])
def test_a_multiple_of_a_usual_period_is_told_as_what_it_is(seconds: float) -> None:
    chance = random.Random(int(seconds))
    times = [number * seconds + chance.uniform(0, seconds / 50) for number in chance.sample(range(200), 40)]
    found = periodicity(times)
    assert found is not None and found.seconds == pytest.approx(seconds, rel=0.005)


def ran(*rows: tuple[float, float]) -> list[Crash]:
    """Crashes of one host: (time, uptime)."""
    return [crash(number=n, time=time, uptime=up, host="n1") for n, (time, up) in enumerate(rows)]


def test_uptimes_tell_a_crash_loop_whose_beginning_is_lost_from_a_clock() -> None:
    chance = random.Random(7)
    loop, moment = [], 0.0
    for _ in range(12):
        up = chance.uniform(5, 40)
        moment += 300 + up
        loop.append((moment, up))
    assert len(events(ran(*loop))) == 1
    clock = [(number * 300.0 + up, up) for number, up in enumerate(chance.uniform(5, 25) for _ in range(12))]
    assert len(events(ran(*clock))) == 12, "each was started by the clock"
    timer = [(number * 300.0, 299.0) for number in range(12)]
    assert len(events(ran(*timer))) == 12, "restarted at once, it crashed by its own timer"
    beside = ran((1000.0, 900.0), (1030.0, 5000.0))
    assert len(events(beside)) == 2, "that one ran before the other crashed"


def test_a_planted_host_is_found() -> None:
    chance = random.Random(1)
    hosts = [f"n{number}" for number in range(10)]
    struck = [crash("null+0x8", "a", number=n, host="n7" if n < 30 else chance.choice(hosts)) for n in range(40)]
    rest = [crash("bad address", "b", number=n, host=chance.choice(hosts)) for n in range(200)]
    found = over_represented({"one": struck, "other": rest})
    assert [(item.attribute, item.value) for item in found["one"]] == [("host", "n7")]
    assert found["other"] == ()


def test_a_version_is_held_to_crashes_of_its_own_program() -> None:
    """A build-id belongs to one program: that a bucket of it has this one alone is no news."""
    shop = [crash(number=n, program="shop", version="build aa") for n in range(25)]
    cart = [crash(number=n, program="cart", version="build bb") for n in range(100, 140)]
    assert over_represented({"one": shop, "other": cart}) == {"one": (), "other": ()}
    newer = [crash(number=n, program="shop", version="build cc") for n in range(200, 240)]
    found = over_represented({"one": shop, "other": cart, "third": newer})
    assert [(item.attribute, item.value) for item in found["one"]] == [("version", "build aa")]
    assert found["other"] == ()


def test_hosts_of_pure_chance_are_not_called_out() -> None:
    called = 0
    for seed in range(200):
        chance = random.Random(seed)
        hosts = [f"n{number}" for number in range(chance.randint(2, 20))]
        buckets = {
            str(index): [
                crash(str(index), number=n, host=chance.choice(hosts), kernel=chance.choice(("5.10", "6.1")))
                for n in range(chance.randint(8, 60))
            ]
            for index in range(4)
        }
        called += sum(map(len, over_represented(buckets).values())) + len(suspects(buckets))
    assert called == 0


def test_a_host_with_signatures_of_its_own_is_suspect() -> None:
    own = {f"own{n}": [crash(f"bad {n}", number=n, host="n7")] for n in range(38)}
    others = {f"x{n}": [crash(f"x {n}", number=k, host=f"n{k}") for k in range(4)] for n in range(2)}
    (found,) = suspects({**own, **others})
    assert (found.host, found.signatures) == ("n7", 38)
