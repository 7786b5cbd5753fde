"""Pictures of a report's page for people to look at, and for the docs: python tests/bench/shoot_page.py runs/report/index.html pictures/

1280 and 390 pixels wide, light and dark; and how long the page took to open. `--top` and `--height` choose a part of the page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reports"))

import browser

MOST_PX = 9000


def shoot(page: Path, out: Path, *, width: int, dark: bool, start: str, height: int) -> None:
    with tempfile.TemporaryDirectory() as profile, browser.chromium(Path(profile), width=width, dark=dark) as driver:
        began = time.perf_counter()
        driver.get(page.resolve().as_uri())
        opened_s = time.perf_counter() - began
        timing = driver.execute_script("const n = performance.getEntriesByType('navigation')[0]; return [n.domInteractive, n.loadEventEnd]")
        if start:
            driver.execute_script(f"document.querySelectorAll('{start}')[0].scrollIntoView({{behavior: 'instant'}})")
        tall = min(height or driver.execute_script("return document.documentElement.scrollHeight"), MOST_PX)
        size = {"width": width, "height": tall, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        if start:
            driver.execute_script(f"document.querySelectorAll('{start}')[0].scrollIntoView({{behavior: 'instant'}})")
        driver.execute_async_script("const [done] = arguments; requestAnimationFrame(() => setTimeout(done, 300))")
        out.mkdir(parents=True, exist_ok=True)
        name = f"{page.parent.name}-{width}-{'dark' if dark else 'light'}.png"
        driver.save_screenshot(str(out / name))
        said = browser.errors(driver)
        print(
            f"{name}: opened in {opened_s:.2f} s (interactive {timing[0]:.0f} ms, loaded {timing[1]:.0f} ms), console: {said or 'silent'}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", default="", help="CSS selector of what to begin with")
    parser.add_argument("--height", type=int, default=0, help="pixels; 0: the whole page")
    parser.add_argument("--widths", type=int, nargs="+", default=[1280, 390])
    parser.add_argument("--light-only", action="store_true")
    given = parser.parse_args()
    for width in given.widths:
        for dark in (False,) if given.light_only else (False, True):
            shoot(given.page, given.out, width=width, dark=dark, start=given.start, height=given.height)
