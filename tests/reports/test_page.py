"""The page in a real browser: it opens without a word from the console or to the network, plays, filters, and is not fooled by a prompt."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.report import write_report
from reports.study import KEY_FILE, write_study
from stbench.story import Story

from . import browser
from .conftest import RunMaker, make_score, make_story

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> ' \" & {{ 7 * 7 }}"
METRIC = "prompt_following_single_shot"

needs_browser = pytest.mark.skipif(bool(browser.why_not()), reason=browser.why_not() or "there is a browser")


def stories() -> tuple[Story, ...]:
    return (make_story("alpha"), make_story("beta", prompt="A robot in the snow."), make_story("gamma", prompt=EVIL))


@pytest.fixture
def page(make_run: RunMaker, tmp_path: Path) -> Path:
    runs = [make_run("wan-t2v", level=0.3, stories=stories(), matrix=True), make_run("storymem", level=0.6, stories=stories(), matrix=True)]
    runs[1].append_scores([make_score("truth_colour_kept", "gamma", "01_01", None, reason=EVIL)])
    return write_report(runs, tmp_path / "report")["html"]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Any]:
    with browser.chromium(tmp_path / "profile") as found:
        yield found


def test_text_of_users_is_text(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert "<img src=x" not in html
    assert "document.title='owned'</script>" not in html
    assert "&lt;img src=x" in html
    assert "{{ 7 * 7 }}" in html
    for word in ("http://", "https://", "@import", "url(/", "url(f"):
        assert word not in html.replace("http://www.w3.org/", "")


def test_everything_the_page_shows_lies_beside_it(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    links = [url for url in re.findall(r'(?:src|href|data-video)="([^"#]+)"', html) if not url.startswith("data:")]
    assert len([url for url in links if url.endswith(".mp4")]) == 18
    assert not [url for url in links if not (page.parent / url).exists()]


def test_one_file_holds_films_and_pictures(make_run: RunMaker, tmp_path: Path) -> None:
    paths = write_report([make_run("storymem")], tmp_path / "report", embed=True)
    html = paths["html"].read_text(encoding="utf-8")
    assert "data:video/mp4;base64," in html
    assert "media/" not in html
    assert not (tmp_path / "report" / "media").exists()


def test_a_partial_run_is_called_partial_and_says_why(make_run: RunMaker, tmp_path: Path) -> None:
    html = write_report([make_run("storymem", finished=2)], tmp_path / "report")["html"].read_text(encoding="utf-8")
    assert "! PARTIAL" in html
    assert "4 of 6 shots are there" in html
    assert "prompt_following_single_shot: 4 of 6 scored" in html
    assert "the video is missing" in html
    assert "not made" in html


def test_several_seeds_of_a_method_are_not_hidden_by_the_filter(make_run: RunMaker, tmp_path: Path) -> None:
    runs = [make_run(method, seed=seed) for method in ("wan-t2v", "storymem") for seed in (0, 1)]
    html = write_report(runs, tmp_path / "report")["html"].read_text(encoding="utf-8")
    known = set(re.findall(r'name="run" value="([^"]+)"', html))
    assert known == {"wan-t2v seed 0", "wan-t2v seed 1", "storymem seed 0", "storymem seed 1"}
    assert set(re.findall(r'data-run="([^"]+)"', html.split("<script>")[0])) == known
    assert "Changes against wan-t2v<" in html


@needs_browser
def test_the_page_in_a_browser(page: Path, driver: Any) -> None:
    """One browser for all: starting it is what takes time."""
    driver.get(page.as_uri())
    assert driver.title.startswith("stbench report: wan-t2v, storymem")
    assert [url for url in browser.requests(driver) if not url.startswith(page.parent.as_uri())] == []
    _filters(driver)
    _sorts(driver)
    _plays(driver)
    _prints(driver)
    assert driver.title != "owned"
    assert browser.errors(driver) == []
    assert [url for url in browser.requests(driver) if not url.startswith(page.parent.as_uri())] == []


def _filters(driver: Any) -> None:
    run = driver.execute_script
    shown = "return [...document.querySelectorAll('.story')].filter(s => !s.hidden).map(s => s.dataset.story)"
    assert run(shown) == ["alpha", "beta", "gamma"]
    run("const s = document.querySelector('#story'); s.value = 'robot snow'; s.dispatchEvent(new Event('input', {bubbles: true}))")
    assert run(shown) == ["beta"]
    run("const s = document.querySelector('#story'); s.value = ''; s.dispatchEvent(new Event('input', {bubbles: true}))")
    run("document.querySelector('input[name=run][value=wan-t2v]').click()")
    assert run("return [...document.querySelectorAll('.strip')].filter(s => !s.hidden).map(s => s.dataset.run)") == ["storymem"] * 3
    assert run("return [...document.querySelectorAll('.paper tbody tr')].filter(s => !s.hidden).length") == 1
    run("document.querySelector('input[name=run][value=wan-t2v]').click()")
    run(f"const s = document.querySelector('#metric'); s.value = '{METRIC}'; s.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert run("return [...document.querySelectorAll('.paper thead th')].filter(s => !s.hidden).length") == 2
    run("const s = document.querySelector('#metric'); s.value = ''; s.dispatchEvent(new Event('input', {bubbles: true}))")


def _sorts(driver: Any) -> None:
    run = driver.execute_script
    first = "return document.querySelector('.paper tbody tr').dataset.run"
    head = f"document.querySelector('.paper thead th[data-metric={METRIC}] button')"
    run(f"{head}.click()")
    assert run(first) == "storymem"
    run(f"{head}.click()")
    assert run(first) == "wan-t2v"
    assert run(f"return {head}.closest('th').getAttribute('aria-sort')") == "ascending"


def _plays(driver: Any) -> None:
    """A shot in its place, then two films in step to their end; the page itself says when."""
    done = """
        const [done] = arguments;
        const button = document.querySelector('.shot button.poster');
        button.click();
        const video = button.querySelector('video');
        video.addEventListener('timeupdate', () => video.currentTime > 0 && done([video.videoWidth, video.videoHeight]));
        video.addEventListener('error', () => done('error'));
    """
    driver.set_script_timeout(60)
    assert driver.execute_async_script(done) == [80, 48]
    together = """
        const [done] = arguments;
        document.querySelector('.play-all').click();
        const dialog = document.querySelector('#player'), where = dialog.querySelector('.where');
        const videos = [...dialog.querySelectorAll('video')];
        for (const video of videos) video.playbackRate = video.defaultPlaybackRate = 4;
        const seen = new Set(), apart = [];
        videos[0].addEventListener('timeupdate', () => {
            seen.add(where.textContent);
            apart.push(Math.abs(videos[0].currentTime - videos[1].currentTime));
        });
        new MutationObserver(() => {
            const button = dialog.querySelector('[data-do=play]');
            if (button.textContent === 'Play') done([dialog.open, [...seen], Math.max(...apart)]);
        }).observe(dialog.querySelector('[data-do=play]'), {childList: true});
    """
    is_open, seen, apart = driver.execute_async_script(together)
    assert is_open
    assert seen == [f"The story alpha: shot {k} of 3" for k in (1, 2, 3)]
    assert apart < 1.0
    driver.execute_script("document.querySelector('[data-do=close]').click()")


def _prints(driver: Any) -> None:
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_phone_width_does_not_scroll_sideways(page: Path, tmp_path: Path, dark: bool) -> None:
    with browser.chromium(tmp_path / "phone", width=390, dark=dark) as driver:
        driver.get(page.as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(19, 19, 22)" if dark else "rgb(246, 246, 243)")
        unnamed = """return [...document.querySelectorAll('button,select,input,img,video,[role=region]')].filter(node =>
            !(node.labels?.length || node.ariaLabel || node.textContent.trim() || node.hasAttribute('alt') || node.tagName === 'VIDEO'))
            .map(node => node.outerHTML.slice(0, 80))"""
        assert driver.execute_script(unnamed) == []
        assert browser.errors(driver) == []


@needs_browser
def test_a_rater_answers_the_study_and_saves_a_file(make_run: RunMaker, tmp_path: Path, driver: Any) -> None:
    runs = [make_run("wan-t2v", stories=stories()), make_run("storymem", stories=stories())]
    paths = write_study(runs, tmp_path / "out")
    driver.get(paths["study"].as_uri())
    answer = """
        const [done] = arguments;
        document.querySelector('#rater').value = 'ann';
        document.querySelector('#begin').click();
        const next = document.querySelector('#next');
        while (document.querySelector('#end').hidden) {
            if (!next.disabled) return done('may go on without an answer');
            const check = document.querySelector('#check');
            const side = check.hidden ? 'left' : check.textContent.includes('“left”') ? 'left' : 'right';
            for (const input of document.querySelectorAll(`#answers input[value=${side}]`)) input.click();
            next.click();
        }
        done(localStorage.getItem(Object.keys(localStorage)[0]));
    """
    driver.set_script_timeout(60)
    saved = json.loads(driver.execute_async_script(answer))
    key = json.loads((tmp_path / "out" / KEY_FILE).read_bytes())
    assert saved["study"] == key["study"]
    assert set(saved["answers"]) == {question["id"] for question in key["questions"]}
    assert driver.execute_script("return document.querySelector('#save').download") == "answers-ann.json"
    assert driver.title != "owned"
    assert browser.errors(driver) == []
