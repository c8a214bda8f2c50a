"""What `objective+objective+regime` means; imports no Keras."""

from dataclasses import dataclass

from keras_prokt.methods.objectives import OBJECTIVES
from keras_prokt.methods.regimes import (
    DISTILLATION,
    FIRST_STAGE_EPOCHS,
    FIXED,
    REGIMES,
    TEACHER_EPOCHS,
    TEACHER_OPTIMIZER,
    TEMPERATURE,
)
from keras_prokt.names import is_known, unknown_name
from keras_prokt.settings import Setting


@dataclass(frozen=True)
class Method:
    """What `objective+objective+regime` means.

    Attributes:
        name: As written.
        regime: Name of the regime.
        objectives: Names of the objectives that were written.
        matched: Names of the objectives of the distillation itself (the second stage where there
            are two).
        label_weight: Weight γ of the labels in the student's loss.
    """

    name: str
    regime: str
    objectives: tuple[str, ...]
    matched: tuple[str, ...]
    label_weight: float

    @property
    def distils(self) -> bool:
        """Whether the student learns from another model, and not from the labels alone."""
        return bool(self.objectives or self.matched)

    @property
    def has_first_stage(self) -> bool:
        """Whether something is trained before the distillation itself."""
        return any(OBJECTIVES[name].first_stage for name in self.objectives)

    @property
    def trains_teacher_before(self) -> bool:
        """Whether a teacher is trained before anything of the student is."""
        return REGIMES[self.regime].trains_teacher_before or self.has_first_stage

    @property
    def settings(self) -> dict[str, Setting]:
        """What a run of it may set beyond what all runs may, by name."""
        more = dict(REGIMES[self.regime].settings)
        if "kd" in self.matched:
            more["temperature"] = TEMPERATURE
        if self.distils:
            more |= DISTILLATION
        if self.trains_teacher_before:
            more |= TEACHER_EPOCHS
        if self.has_first_stage:
            more |= FIRST_STAGE_EPOCHS
        if self.trains_teacher_before or REGIMES[self.regime].trains_teacher_along:
            more |= TEACHER_OPTIMIZER
        return more


def parse_method(name: str) -> Method:
    """The method that a user typed.

    `γ·CE + Σ βᵢ·Lᵢ` is the student's loss: the objectives with the weights of `OBJECTIVES`, and the
    labels with γ = 1, or 0 where soft targets are the only objective, and under `prokt`.

    Args:
        name: Objectives and at most one regime in any order, joined by `+`: `"prokt"`, `"kd"`,
            `"crd+kd"`, `"at+prokt"`, `"sp+rco"`, `"dml"`, `"student"`.

    Raises:
        ValueError: On unknown names, names given twice, and combinations that make no sense, with
            the reason.

    Example:

    >>> from keras_prokt.methods import parse_method
    >>> parse_method("kd").label_weight, parse_method("kd").regime
    (0.0, 'fixed')
    >>> parse_method("prokt").matched
    ('kd',)
    """
    parts = [part.strip() for part in name.split("+")] if isinstance(name, str) else [name]
    for part in parts:
        if not is_known(part, {**OBJECTIVES, **REGIMES}):
            raise ValueError(unknown_name("a method", part, {*OBJECTIVES, *REGIMES} - {FIXED}))
    regimes = [part for part in parts if part in REGIMES]
    objectives = tuple(part for part in parts if part in OBJECTIVES)
    if len(set(parts)) != len(parts):
        raise ValueError(f"Expected each part of a method once, received {name!r}; drop one.")
    if len(regimes) > 1:
        raise ValueError(
            f"Expected at most one of {', '.join(regimes)}, received {name!r}; each of them "
            "decides how the teacher is trained."
        )
    regime = regimes[0] if regimes else FIXED
    if regime == "student" and objectives:
        raise ValueError(
            f"Expected no objective beside 'student', received {name!r}; without a teacher there "
            f"is nothing to match; leave 'student' out to distil by {'+'.join(objectives)}."
        )
    if regime == FIXED and not objectives:
        raise ValueError(
            f"Expected an objective or a regime, received {name!r}; 'kd' is the first."
        )
    _check_first_stages(name, objectives, regime)
    matched: list[str] = []
    if REGIMES[regime].adds_soft_targets:
        matched.append("kd")
    for objective in objectives:
        second = OBJECTIVES[objective].second_stage
        matched += [o for o in (second if second is not None else (objective,)) if o not in matched]
    label_weight = REGIMES[regime].label_weight
    if label_weight is None:
        label_weight = 0.0 if matched == ["kd"] else 1.0
    return Method(name, regime, objectives, tuple(matched), label_weight)


def _check_first_stages(name: str, objectives: tuple[str, ...], regime: str) -> None:
    for objective in objectives:
        card = OBJECTIVES[objective]
        if card.first_stage is None:
            continue
        if card.needs_fixed_teacher and not REGIMES[regime].keeps_teacher:
            raise ValueError(
                f"Expected {objective!r} with one fixed teacher, received {name!r}; its first "
                f"stage ({card.first_stage}) fits the teacher it was trained on and no later one."
            )
        if REGIMES[regime].starts_untrained:
            raise ValueError(
                f"Expected {objective!r} with a teacher that can be trained before, received "
                f"{name!r}; its first stage ({card.first_stage}) needs one, and both networks of "
                f"{regime!r} start untrained."
            )


def known_methods() -> list[str]:
    """Every objective and every regime that can be typed by itself."""
    return [*OBJECTIVES, *(name for name in REGIMES if name != FIXED)]


def method_settings() -> dict[str, Setting]:
    """Every setting that only some methods have, by name."""
    of_regimes = {name: row for regime in REGIMES.values() for name, row in regime.settings.items()}
    return {
        "temperature": TEMPERATURE,
        **of_regimes,
        **DISTILLATION,
        **TEACHER_EPOCHS,
        **FIRST_STAGE_EPOCHS,
        **TEACHER_OPTIMIZER,
    }
