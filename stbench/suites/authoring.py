"""Writing scripts: templates for people, and a prompt of our own for language models, with the published schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from stbench.errors import UserError

HERE = Path(__file__).parent
APPEARANCE = {
    "once": """\
- Describe how a character, an object and the style look in the first prompt
  in which they occur, in one phrase, and never again: later prompts say only
  "the sailor". So a film shows whether the model remembers.""",
    "repeated": """\
- Describe how a character or an object looks with the same words in every
  prompt that names it, and begin every prompt with the same sentence about the
  style. So a film shows whether the model follows its prompt.""",
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of an author.

    Args:
        idea: What the story is about; empty leaves it open.
        shots: How many shots.
        scenes: How many scenes.
        appearance: "once" or "repeated".
    """

    idea: str = ""
    shots: int = 10
    scenes: int = 3
    appearance: str = "once"

    def check(self) -> None:
        """A `UserError` for an order that no script can fill."""
        if not 1 <= self.shots <= 100:
            raise UserError(f"{self.shots} shots", where="--shots", expected="1 to 100")
        if not 1 <= self.scenes <= self.shots:
            raise UserError(f"{self.scenes} scenes", where="--scenes", expected=f"1 to {self.shots}, the number of shots")
        if self.appearance not in APPEARANCE:
            raise UserError(f"appearance {self.appearance!r}", where="--appearance", expected=" or ".join(APPEARANCE))


def authoring_prompt(order: Order) -> str:
    """The prompt for a language model, with the JSON schema of the answer."""
    from stbench.schema import schema_text

    text = Template((HERE / "authoring.txt").read_text(encoding="utf-8")).substitute(
        subject=" ".join(order.idea.split()) or "a story of your own invention, told in pictures",
        shots=order.shots,
        scenes=order.scenes,
        continued=round(0.4 * (order.shots - 1)),
        appearance=APPEARANCE[order.appearance],
        schema=schema_text().rstrip(),
    )
    return text.replace(" in 1 scenes", " in 1 scene")


def template() -> dict[str, Any]:
    """A small script that is valid and clean, to be written over."""
    script: dict[str, Any] = json.loads((HERE / "template.json").read_text(encoding="utf-8"))
    return script
