"""What tables say of the methods on a Wan model: base model, licence, steps, and parameters, counted from the headers of the weights."""

from __future__ import annotations

import math

from stbench.errors import UserError
from stbench.methods import MethodCard
from storymem.folders import EXPERTS, require
from storymem.options import SamplingOptions
from storymem.profiles import Model
from storymem.stored import open_weights


def card_of(model: Model, options: SamplingOptions, *, memory: bool) -> MethodCard:
    """The card of a method; the adapters of its model are counted.

    Args:
        model: The model.
        options: For the number of steps.
        memory: Whether the base of memory shots is used too.
    """
    bases = {model.t2v, model.m2v} if memory else {model.t2v}
    parameters: int | None = None
    try:
        parts = [require(base, role).path for base in sorted(bases) for role in EXPERTS[: model.profile.experts]]
        shapes = [shape for path in (*parts, *model.lora) for shape in open_weights(path).shapes.values()]
        parameters = sum(map(math.prod, shapes))
    except UserError:
        pass  # weights that cannot be read are an error of whoever loads them, with everything there is to say
    return MethodCard(base_model=model.profile.name, licence=model.profile.licence, parameters=parameters, steps=options.steps)
