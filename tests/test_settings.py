"""A calibration belongs to what things were made with, not to what their attributes are called."""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, get_type_hints

import pytest

import anomaly_diffusion
from anomaly_diffusion.scoring.pooling import TopKMean
from anomaly_diffusion.scoring.residual import L1Residual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.settings import Configured, canonical, fingerprint


class Before(Configured):
    def __init__(self, reach: float = 1.0, seed: int = 0) -> None:
        self.reach, self.seed = reach, seed


class Since(Before):
    names_before: ClassVar[Mapping[str, str]] = {"class": "Before"}
    added: ClassVar[Mapping[str, Any]] = {"scales": [1]}

    def __init__(self, reach: float = 1.0, seed: int = 0, scales: Sequence[float] = (1.0,)) -> None:
        super().__init__(reach, seed)


class Now(Configured):
    names_before: ClassVar[Mapping[str, str]] = {"class": "Before", "sigma": "reach"}
    ignored: ClassVar[frozenset[str]] = frozenset({"path"})

    def __init__(self, sigma: float = 1.0, seed: int = 0, path: str | None = None) -> None:
        self._width = sigma * seed


def told(one: Configured) -> str:
    return canonical(one.settings)


def test_a_renamed_class_argument_or_attribute_and_an_ignored_argument_change_nothing() -> None:
    assert told(Now(2, path="elsewhere")) == told(Before(reach=2.0)) == told(Before(2.0, 0))
    assert fingerprint(told(Now(2.0))) == fingerprint(told(Before(2.0))) != fingerprint(told(Before(3.0)))


def test_an_argument_that_was_added_changes_nothing_until_it_is_used() -> None:
    assert told(Since(2.0)) == told(Since(2.0, scales=[1.0])) == told(Before(2.0))
    assert told(Since(2.0, scales=[1.0, 0.5])) != told(Before(2.0))


def test_what_is_told_is_plain_and_complete() -> None:
    assert Scoring([L1Residual()], pooling=TopKMean(0.25)).settings == {
        "class": "Scoring", "residuals": [{"class": "L1Residual"}], "weights": None, "smoothing": 1,
        "pooling": {"class": "TopKMean", "share": 0.25}, "two_sided": False, "calibration_sigma": None,
    }  # fmt: skip


def test_what_does_not_know_its_settings_is_refused() -> None:
    class Odd(Configured):
        def __init__(self, part: object) -> None:
            self.part = part

    with pytest.raises(TypeError, match="`object` must derive from `Configured`"):
        told(Odd(object()))


def configured(base: type[Configured] = Configured) -> Iterator[type[Configured]]:
    """All classes of the house that know their settings."""
    for room in ("diffusion", "reconstruction", "scoring", "codecs", "networks", "detectors", "baselines"):
        package = importlib.import_module(f"anomaly_diffusion.{room}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    pending = [base]
    while pending:
        pending += (cls := pending.pop()).__subclasses__()
        if cls.__module__.startswith(anomaly_diffusion.__name__) and not inspect.isabstract(cls):
            yield cls


def test_every_number_must_be_finite_and_says_so_by_its_name() -> None:
    """Unless its class says that infinity means something; whatever else is missing, this is told first."""
    asked = 0
    for cls in configured():
        for name in inspect.signature(cls.__init__).parameters:
            if "float" not in str(get_type_hints(cls.__init__).get(name)) or name in cls.infinite:
                continue
            asked += 1
            for value in (math.inf, math.nan, [0.5, math.inf]):
                with pytest.raises(ValueError, match=rf"`{name}` must be finite, got (inf|nan)"):
                    cls.__new__(cls, **{name: value})
    assert asked > 40


def test_a_number_has_a_bound_where_more_of_it_only_takes_time_or_memory() -> None:
    asked = 0
    for cls in configured():
        for name in cls.most.keys() & inspect.signature(cls.__init__).parameters.keys():
            asked += 1
            with pytest.raises(ValueError, match=rf"`{name}` must be at most \d+, got 1000000000"):
                cls.__new__(cls, **{name: 10**9})
    assert asked > 15
