"""A run folder can be shared: no token, home folder or user name reaches a manifest, a journal or a report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stbench.redaction import HIDDEN, redacted


@pytest.fixture
def alice(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setenv("HF_TOKEN", "tok-8f3a77")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "yes-please")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/alice/films/run", "~/films/run"),
        ('File "/home/alice/x.py", line 3', 'File "~/x.py", line 3'),
        ("/home/bob/model", f"/home/{HIDDEN}/model"),
        ("/Users/carol/model", f"/Users/{HIDDEN}/model"),
        ("/home/alicent/x", f"/home/{HIDDEN}/x"),
        ("/scratch/alice/run 7", f"/scratch/{HIDDEN}/run 7"),
        ("/scratch/alice-in-wonderland.json by alice", "/scratch/alice-in-wonderland.json by alice"),
        ("401 for token tok-8f3a77", f"401 for token {HIDDEN}"),
        ("key=wJalrXUtnFEMI&x=1", f"key={HIDDEN}&x=1"),
        ("hf_" + "a" * 30, HIDDEN),
        ("ghp_" + "a" * 36, HIDDEN),
        ("AKIA" + "A" * 16, HIDDEN),
        ("https://alice:pw@host/x", f"https://{HIDDEN}@host/x"),
        ("yes-please", "yes-please"),
        ("A cat sits at home. Its token: a red hat.", "A cat sits at home. Its token: a red hat."),
    ],
)
def test_what_is_hidden_and_what_is_not(alice, text, clean):
    assert redacted(text) == clean
    assert redacted({"a": [text, 1, None]}) == {"a": [clean, 1, None]}


@given(st.text())
def test_hiding_twice_changes_nothing_more(text):
    assert redacted(redacted(text)) == redacted(text)


def test_no_secret_reaches_the_run_folder(film, run_words, tmp_path, alice, monkeypatch, fake):
    def leak(self, request):
        raise RuntimeError("GET https://alice:pw12345@host/home/alice/w failed with tok-8f3a77 in /home/alice/.cache")

    monkeypatch.setattr(fake.FakeShots, "shot", leak)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert film(*run_words).code == 3
    texts = {".json", ".jsonl", ".md", ".csv", ".html"}
    stored = "".join(path.read_text() for path in (tmp_path / "run").rglob("*") if path.suffix in texts)
    for secret in ("tok-8f3a77", "pw12345", str(tmp_path) + "/", "alice/"):
        assert secret not in stored
    assert "failed with [hidden]" in stored


def test_where_a_reference_picture_lay_does_not_name_the_user(film, run_words, tmp_path, monkeypatch, fake):
    from PIL import Image

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(fake.Fake, "takes_references", True, raising=False)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "hero.png")
    assert film(*run_words, "--reference", tmp_path / "hero.png").code == 0
    text = (tmp_path / "run" / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert "~/hero.png" in text
    assert film(*run_words, "--reference", tmp_path / "hero.png").code == 0, "the same command continues"
    assert film("check", tmp_path / "run").code == 0
