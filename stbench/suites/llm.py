"""Scripts from a language model behind any OpenAI-compatible endpoint: ask, check, and ask again with what is wrong.

The answer is data from a stranger: it is size-limited, parsed, checked like any user's script, and never run. The key comes from the
environment and is sent to the endpoint only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stbench.errors import UserError
from stbench.suites.authoring import Order, authoring_prompt

KEYS = ("STBENCH_LLM_KEY", "OPENAI_API_KEY")
TIMEOUT_S = 300
MAX_BYTES = 4 * 1024 * 1024
TOLD = 20  # problems told to the model at once
_FENCE = re.compile(r"```[a-zA-Z0-9]*\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a model answers."""

    url: str
    model: str

    @property
    def chat_url(self) -> str:
        """The address of its chat completions."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def check(self) -> None:
        """A `UserError` for an address that is none."""
        if not re.match(r"https?://[^/\s]+", self.url):
            raise UserError(f"found {self.url!r:.60}", where="--llm", expected="an address such as http://localhost:8000/v1")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An answer: the script, if it is one, and what is wrong with it."""

    text: str
    script: Mapping[str, Any] | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def chat(endpoint: Endpoint, messages: list[dict[str, str]]) -> str:
    """One answer of the model; a `UserError` says what the endpoint did instead."""
    import urllib.error
    import urllib.request

    body = json.dumps({"model": endpoint.model, "messages": messages}).encode()
    headers = {"Content-Type": "application/json"}
    if key := next((os.environ[name] for name in KEYS if os.environ.get(name)), None):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(endpoint.chat_url, data=body, headers=headers)  # noqa: S310 (checked to be http or https)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            data = json.loads(answer.read(MAX_BYTES))
        return str(data["choices"][0]["message"]["content"])
    except urllib.error.HTTPError as error:
        said = " ".join(error.read(400).decode("utf-8", "replace").split())
        hint = f"set ${KEYS[0]} to a key" if error.code in (401, 403) else None
        raise UserError(f"answered {error.code}: {said[:200]}", where=endpoint.chat_url, expected="200", hint=hint) from error
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise UserError(f"cannot be reached ({getattr(error, 'reason', error)})", where=endpoint.chat_url) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        expected = "JSON with choices[0].message.content"
        raise UserError(f"gave an answer of another shape ({type(error).__name__})", where=endpoint.chat_url, expected=expected) from error


def judge(text: str, order: Order) -> Draft:
    """Take a model's answer apart and check it: as a script, by the rules of lint, and against the order."""
    from stbench.dialects import from_json
    from stbench.dialects.convert import checked
    from stbench.story import parse_story

    try:
        source = from_json(_json_object(text), name="story")
        script = checked(source, "the answer", "story")
        script.pop("references", None)  # a model has no pictures to refer to
        story = parse_story(script, source="the answer", id="story")
    except UserError as error:
        return Draft(text=text, script=None, errors=(str(error).removeprefix("the answer: "),))
    from stbench.suites.rules import ERROR, WARNING, findings
    from stbench.suites.tokens import clip_lengths

    found = list(findings(script, story, clip_lengths([shot.prompt for shot in story.shots])))
    errors = [f"{finding.field}: {finding.message}" for finding in found if finding.level == ERROR]
    scenes = len({shot.scene for shot in story.shots})
    for what, number, wanted in (("shots", len(story.shots), order.shots), ("scenes", scenes, order.scenes)):
        errors += [f"the script has {number} {what}; expected {wanted}"] if number != wanted else []
    warnings = [f"{finding.field}: {finding.message}" for finding in found if finding.level == WARNING]
    lengths = [(shot.index + 1, len(shot.prompt.split())) for shot in story.shots]
    warnings += [f"shot {number}: {count} words; expected 25 to 60" for number, count in lengths if not 25 <= count <= 60]
    return Draft(text=text, script=script, errors=tuple(errors), warnings=tuple(warnings))


def _json_object(text: str) -> Any:
    """The JSON object in an answer, with or without a fence or words around it."""
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced else text
    start, end = body.find("{"), body.rfind("}")
    if start < 0 or end < start:
        raise UserError("holds no JSON object", where="the answer", expected="one JSON object and nothing else")
    try:
        return json.loads(body[start : end + 1])
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not JSON ({' '.join(str(error).split())[:100]})", where="the answer", expected="one JSON object") from error


def write_story(endpoint: Endpoint, order: Order, tries: int, on_draft: Callable[[int, Draft], None] = lambda number, draft: None) -> Draft:
    """Ask for a script until one is valid and without warnings, at most `tries` times; the best draft is given back.

    Args:
        endpoint: Who is asked.
        order: What is asked for.
        tries: At least 1.
        on_draft: Told about each answer.

    Returns:
        The first clean draft; else the valid one with fewest warnings; else the last one, whose `errors` say what is wrong.
    """
    messages = [{"role": "user", "content": authoring_prompt(order)}]
    drafts: list[Draft] = []
    for number in range(1, tries + 1):
        draft = judge(chat(endpoint, messages), order)
        drafts.append(draft)
        on_draft(number, draft)
        if not draft.errors and not draft.warnings:
            return draft
        messages += [{"role": "assistant", "content": draft.text}, {"role": "user", "content": _again(draft)}]
    valid = [draft for draft in drafts if not draft.errors]
    return min(valid, key=lambda draft: len(draft.warnings)) if valid else drafts[-1]


def _again(draft: Draft) -> str:
    problems = [*draft.errors, *draft.warnings]
    more = f"\n(and {len(problems) - TOLD} more of this kind)" if len(problems) > TOLD else ""
    listed = "\n".join(f"- {problem}" for problem in problems[:TOLD])
    return f"A program checked your script and found:\n{listed}{more}\nAnswer with the whole corrected script, as one JSON object."
