from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from stbench.schema import schema_text
from stbench.story import load_story
from stbench.suites import find_suite
from stbench.suites.authoring import Order, authoring_prompt, template
from stbench.suites.lint import lint


@pytest.mark.parametrize("name", ["tale.json", "tale.story.md", "tale.story.yaml"])
def test_a_new_script_is_valid_and_clean_in_every_dialect(film, tmp_path: Path, name: str):
    done = film("suite", "new", name)
    assert done.code == 0
    report = lint(find_suite(tmp_path / name))
    assert (report.counts["error"], report.counts["warning"], report.facts.shots) == (0, 0, 4)
    assert Draft202012Validator(json.loads(schema_text())).is_valid(template())
    again = film("suite", "new", name)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_the_prompt_holds_the_order_the_rules_and_the_schema(film):
    done = film("suite", "prompt", "--idea", "a fox\nlearns to skate", "--shots", 12, "--scenes", 4, "--appearance", "repeated")
    assert "Story: a fox learns to skate\n" in done.out
    assert "12 shots in 4 scenes; about 4 of the shots" in done.out
    assert "with the same words in every" in done.out
    assert "never again" not in done.out
    assert json.loads(done.out[done.out.index("{\n") :]) == json.loads(schema_text())
    assert max(len(line) for line in done.out[: done.out.index("{\n")].splitlines()) <= 80
    assert film("suite", "prompt", "--schema-only").out == schema_text()
    assert "1 shot" in authoring_prompt(Order(shots=1, scenes=1))
    assert "in 1 scene;" in authoring_prompt(Order(shots=1, scenes=1))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shots", "0"], "0 shots; expected 1 to 100"),
        (["--shots", "4", "--scenes", "5"], "5 scenes; expected 1 to 4"),
        (["--appearance", "twice"], "expected once or repeated"),
    ],
)
def test_an_order_that_nobody_can_fill_is_refused(film, words, says):
    for command in (["suite", "prompt"], ["suite", "new", "x.json", "--llm", "http://localhost:1"]):
        done = film(*command, *words)
        assert done.code == 2
        assert says in done.err


class Stub:
    """An OpenAI-compatible endpoint that gives prepared answers, in order; the last one again and again."""

    def __init__(self, answers: list[str | int | bytes]):
        self.answers, self.requests, self.headers, self.paths = answers, [], [], []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                stub.paths.append(self.path)
                stub.headers.append(dict(self.headers))
                stub.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                answer = stub.answers[min(len(stub.requests), len(stub.answers)) - 1]
                status = answer if isinstance(answer, int) else 200
                body = answer if isinstance(answer, bytes) else json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"no such\nmodel" if status != 200 else body)

            def log_message(self, *words):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def endpoint():
    stubs = []

    def make(*answers):
        stubs.append(Stub(list(answers)))
        return stubs[-1]

    yield make
    for stub in stubs:
        stub.close()


def good() -> dict:
    """A script of ours, as a model would give it: four shots in two scenes, without a warning."""
    return template()


def flawed(**changes) -> str:
    script = good()
    script["scenes"][0] |= changes
    return json.dumps(script)


ORDER = ["--shots", "4", "--scenes", "2", "--model", "stub-1", "--idea", "a kite"]


def test_a_first_good_answer_is_written(film, tmp_path: Path, endpoint):
    stub = endpoint("Here it is:\n```json\n" + json.dumps(good()) + "\n```\nEnjoy!")
    done = film("suite", "new", "kite.json", "--llm", stub.url, *ORDER)
    assert done.code == 0
    story = load_story(tmp_path / "kite.json")
    assert (len(story.shots), story.extra["written_by"], story.extra["design"]) == (4, "stub-1", {"appearance": "once"})
    assert stub.paths == ["/v1/chat/completions"]
    request = stub.requests[0]
    assert request["model"] == "stub-1"
    assert request["messages"] == [{"role": "user", "content": authoring_prompt(Order(idea="a kite", shots=4, scenes=2))}]
    assert "Authorization" not in stub.headers[0]


def test_errors_are_told_to_the_model_until_the_script_is_right(film, tmp_path: Path, endpoint):
    first, second, third = "I would rather not.", flawed(cut=[True]), flawed(entities=[["boy", "dog"], ["boy"]])
    stub = endpoint(first, second, third, json.dumps(good()))
    done = film("suite", "new", "kite.story.md", "--llm", stub.url + "/", "--tries", "4", *ORDER)
    assert done.code == 0
    assert load_story(tmp_path / "kite.story.md").cuts == 3
    told = [request["messages"][-1]["content"] for request in stub.requests[1:]]
    assert "holds no JSON object" in told[0]
    assert "scenes[0]: field 'cut' has 1 entries for 2 video_prompts" in told[1]
    assert "scenes[0].entities[0]: 'dog' is not declared among the entities" in told[2]
    assert [message["role"] for message in stub.requests[3]["messages"]] == ["user", "assistant"] * 3 + ["user"]
    assert stub.requests[3]["messages"][3]["content"] == second
    assert "answer 4 of at most 4: 0 errors, 0 warnings" in done.err


def test_a_model_that_never_gets_it_right_is_asked_n_times_and_its_last_answer_is_kept(film, tmp_path: Path, endpoint):
    stub = endpoint("{")
    done = film("suite", "new", "kite.json", "--llm", stub.url, "--tries", "2", *ORDER)
    assert done.code == 2
    assert "no valid script after 2 answers" in done.err
    assert len(stub.requests) == 2
    assert not (tmp_path / "kite.json").exists()
    assert (tmp_path / "kite.json.rejected.txt").read_text() == "{"


def test_warnings_are_told_too_but_the_best_valid_script_is_taken_in_the_end(film, tmp_path: Path, endpoint):
    one = flawed(video_prompts=["A boy remembers his kite in a yard.", good()["scenes"][0]["video_prompts"][1]])
    two = flawed(video_prompts=["A boy runs through a yard with a kite.", good()["scenes"][0]["video_prompts"][1]])
    stub = endpoint(one, two, "{")
    done = film("suite", "new", "kite.json", "--llm", stub.url, "--tries", "3", *ORDER)
    assert done.code == 0
    assert "'remembers' cannot be seen" in stub.requests[1]["messages"][-1]["content"]
    assert "shot 1: 9 words; expected 25 to 60" in stub.requests[2]["messages"][-1]["content"]
    assert load_story(tmp_path / "kite.json").shots[0].prompt.startswith("A boy runs through")


def test_the_number_of_shots_and_scenes_is_part_of_the_order(film, endpoint):
    stub = endpoint(json.dumps(good()))
    done = film("suite", "new", "kite.json", "--llm", stub.url, "--tries", "1", "--shots", "5", "--scenes", "3")
    assert done.code == 2
    assert "the script has 4 shots; expected 5" in done.err


def test_the_key_goes_to_the_endpoint_and_nowhere_else(film, tmp_path: Path, endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STBENCH_LLM_KEY", "sk-not-to-be-seen")
    stub = endpoint(json.dumps(good()), 401)
    done = film("suite", "new", "kite.json", "--llm", stub.url, *ORDER)
    refused = film("suite", "new", "more.json", "--llm", stub.url, *ORDER)
    assert stub.headers[0]["Authorization"] == "Bearer sk-not-to-be-seen"
    assert "answered 401: no such model; expected 200; set $STBENCH_LLM_KEY to a key" in refused.err
    assert "sk-not" not in done.out + done.err + refused.err + (tmp_path / "kite.json").read_text()


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": "x"}]}'])
def test_an_endpoint_that_speaks_otherwise_is_named(film, endpoint, answer: bytes):
    done = film("suite", "new", "kite.json", "--llm", endpoint(answer).url, *ORDER)
    assert done.code == 2
    assert "gave an answer of another shape" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_an_endpoint_that_is_not_there_is_named(film, endpoint):
    stub = endpoint("x")
    stub.close()
    done = film("suite", "new", "kite.json", "--llm", stub.url, *ORDER)
    assert "cannot be reached" in done.err
    assert "an address such as" in film("suite", "new", "kite.json", "--llm", "file:///etc/passwd", *ORDER).err


def test_scripts_of_a_model_cannot_leave_their_folder(film, tmp_path: Path, endpoint):
    hostile = good() | {"references": ["../../etc/passwd"], "story_name": "../../x\x1b[31m"}
    film("suite", "new", "deep/kite.json", "--llm", endpoint(json.dumps(hostile)).url, *ORDER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "tales"]
    assert load_story(tmp_path / "deep" / "kite.json").references == ()
