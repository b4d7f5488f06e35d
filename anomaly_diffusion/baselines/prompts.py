"""What is said about normal and about anomalous objects, for networks that compare images with texts."""

import re
from collections.abc import Sequence
from itertools import product

from anomaly_diffusion.settings import Configured

__all__ = ["Prompts"]

_NORMAL = (
    "{}", "whole {}", "clean {}", "spotless {}", "{} in good order", "{} without a flaw", "{} as it should be",
)  # fmt: skip
_ANOMALOUS = (
    "damaged {}", "broken {}", "defective {}", "stained {}", "{} with a flaw", "{} with a scratch", "{} with a defect",
)  # fmt: skip
_LOOKS = ("", "bright ", "dark ", "blurred ", "enlarged ")
_VIEWS = ("photo of {}", "close view of {}", "photo of {} for inspection")


class Prompts(Configured):
    """Each state of an object in each template: many ways of saying that it is normal, or that it is not.

    Reference: Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", 2023, section 4.1.

    Differs from the paper: words are ours, all of them; that states and templates are combined, and their meanings
    averaged, is the paper's. Theirs can be given.

    Args:
        object_name: what images show, in a word or two: screw, carpet, metal nut.
        normal: states of a good object, each with {} for its name; a handful of our own if not given.
        anomalous: states of a defective object, likewise.
        templates: sentences, each with {} for the object and its state, likewise.

    Raises:
        ValueError: a text has no place for what it is about, or there is none.
    """

    def __init__(
        self,
        object_name: str = "object",
        normal: Sequence[str] | None = None,
        anomalous: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
    ) -> None:
        if not object_name.strip():
            raise ValueError(f"`object_name` must be a word, got {object_name!r}.")
        self.object_name = object_name
        self.normal = _checked("normal", _NORMAL if normal is None else normal)
        self.anomalous = _checked("anomalous", _ANOMALOUS if anomalous is None else anomalous)
        self.templates = _checked("templates", _templates() if templates is None else templates)

    def sentences(self) -> tuple[list[str], list[str]]:
        """All that is said of a normal object, and of an anomalous one."""
        templates = self.templates
        normal, anomalous = (
            [_spoken(template.format(state.format(self.object_name))) for state, template in product(states, templates)]
            for states in (self.normal, self.anomalous)
        )
        return normal, anomalous


def _templates() -> list[str]:
    """A photo of a thing and of the thing, seen in several ways."""
    ways = product(_LOOKS, _VIEWS, ("a", "the"))
    return [f"a {look}{view.format(article + ' {}')}" for look, view, article in ways]


def _spoken(sentence: str) -> str:
    return re.sub(r"\ba (?=[aeiou])", "an ", sentence)


def _checked(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    wrong = [text for text in texts if text.count("{}") != 1]
    if wrong or not texts:
        raise ValueError(f"`{name}` must be texts with one {{}} each, got {wrong[0] if wrong else 'none'}.")
    return tuple(texts)
