import pytest

from anomaly_diffusion.runs import process


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/somewhere/anomaly_diffusion/__main__.py", "train"], "python -m anomaly_diffusion train"),
        (["/somewhere/bin/anomaly-diffusion", "fit", "a b"], "anomaly-diffusion fit 'a b'"),
    ],
)
def test_a_command_can_be_pasted_anywhere(arguments, expected):
    assert process.command(arguments) == expected


def test_the_seed_is_the_one_that_was_applied(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")
    assert process.seed() == 42
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert process.seed() is None


def test_peak_memory_never_falls():
    before = process.peak_memory()["peak_memory_mb"]
    held = bytearray(50_000_000)
    assert process.peak_memory()["peak_memory_mb"] >= before >= len(held) / 1e6
