"""`stbench status`: how far a run is, from its folder alone, once or again and again, for people, programs and Prometheus."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.commands.output import examples, print_json, printable
from stbench.errors import UserError

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from stbench.status import Status, Watcher

WATCH_EVERY_S = 2.0
WORKERS_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        epilog=examples(
            "stbench status runs/memory",
            "stbench status runs/memory --watch",
            "stbench status runs/memory --json",
            "stbench status runs/memory --metrics-port 9105",
        )
    )(status)


def status(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until the run ends.")] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve it at /metrics for Prometheus, on every network interface.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; with --watch, one a line.")] = False,
) -> None:
    """How far a run is: who works on what, pace, time left, retries. Reads the folder, from any machine that sees it."""
    from stbench.status import Watcher

    watcher = Watcher(run)
    server = serve(run, metrics_port) if metrics_port is not None else None
    try:
        if watch:
            follow(watcher, json)
        else:
            show(watcher.look(time.time()), json)
            if server is not None:
                while True:
                    time.sleep(3600)
    except KeyboardInterrupt:
        pass  # looking is over; nothing was begun
    finally:
        if server is not None:
            server.shutdown()


def show(found: Status, json: bool) -> None:
    """Print it once."""
    if json:
        print_json(found.to_json())
    else:
        print("\n".join(lines(found)), flush=True)


def follow(watcher: Watcher, json: bool) -> None:
    """Print it again and again, in place on a terminal, until nobody films."""
    if json or not sys.stdout.isatty():
        while True:
            found = watcher.look(time.time())
            show(found, json)
            if found.state != "running":
                return
            time.sleep(WATCH_EVERY_S)
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            found = watcher.look(time.time())
            live.update(Text("\n".join(lines(found))), refresh=True)
            if found.state != "running":
                return
            time.sleep(WATCH_EVERY_S)


def lines(found: Status) -> list[str]:
    """For people: two lines about the run, one for each process at work."""
    from stbench.display import duration

    state = f"{found.state} ({found.driver})" if found.driver else found.state
    text = [printable(f"run {found.run}   {state}   {found.done}/{found.expected} shots   {found.stories_done}/{found.stories} stories")]
    facts = []
    if found.shots_per_s:
        pace = f"{found.shots_per_s:.2f} shots/s" if found.shots_per_s >= 0.1 else f"{1 / found.shots_per_s:.1f} s/shot"
        facts += [pace, f"ETA {duration(found.eta_s or 0.0)}"]
    facts += [f"{found.retries} retries", f"{found.given_up} given up", f"{found.lost_workers} workers lost"]
    text.append(printable("  " + "   ".join(facts)))
    if found.working:
        text.append(f"  {'worker':<12}  {'made':>5}  {'shot':<6}  {'for':>9}  story")
    for each in found.working[:WORKERS_SHOWN]:
        for_ = duration(each.for_s) if each.for_s is not None else "-"
        row = f"  {each.worker:<12}  {each.made:>5}  {each.shot or '-':<6}  {for_:>9}  {'HANGS? ' if each.hangs else ''}{each.story}"
        text.append(printable(row[:80]))
    if len(found.working) > WORKERS_SHOWN:
        text.append(f"  and {len(found.working) - WORKERS_SHOWN} more; see --json")
    return text


def serve(run: Path, port: int) -> ThreadingHTTPServer:
    """Answer /metrics in the background; port 0 takes a free one, which is said."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from stbench.status import Watcher, prometheus

    watcher, lock = Watcher(run), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404, "only /metrics is here")
                return
            with lock:
                body = prometheus(watcher.look(time.time())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape every few seconds is no news."""

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except OSError as error:
        raise UserError(f"port {port} cannot be had ({error.strerror})", where="--metrics-port", expected="a free port") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    print(f"serving http://localhost:{server.server_port}/metrics", file=sys.stderr, flush=True)
    return server
