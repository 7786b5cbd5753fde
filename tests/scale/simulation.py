"""The table of docs/scale.md: 10,000 stories of 10 shots on 1 to 1,024 imagined workers, through the real schedule and loop."""

from __future__ import annotations

from dataclasses import dataclass

from cost import measure

from stbench.executors.simulated import Conditions, drawn, simulate

STORIES, SHOTS, MEDIAN_S, SPREAD = 10_000, 10, 60.0, 0.3
WORKERS = (1, 16, 128, 512, 1024)
MESSAGE_S = 0.002  # the driver's time for one message: assumed; a pipe takes 0.014 ms


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: what is different in it."""

    name: str
    hours_between_failures: float | None = None
    latency_s: float = 0.0002
    median_s: float = MEDIAN_S


ROWS = (
    Row(name="no failures, local disk"),
    Row(name="no failures, 5 ms per request", latency_s=0.005),
    Row(name="no failures, 50 ms per request", latency_s=0.05),
    Row(name="a failure per worker and day", hours_between_failures=24.0, latency_s=0.005),
    Row(name="spot: a failure per worker in 2 h", hours_between_failures=2.0, latency_s=0.005),
)
SHORT = Row(name="shots of 1 s, 5 ms per request", latency_s=0.005, median_s=1.0)


def main() -> None:
    cost = measure()
    requests = round(sum(cost.requests.values()))
    print(f"per shot: {cost.requests}, {requests} in all; journal {cost.journal_bytes:.0f} bytes, timing {cost.timing_bytes:.0f} bytes")
    print(f"journal of {STORIES * SHOTS:,} shots: {STORIES * SHOTS * (cost.journal_bytes + cost.timing_bytes) / 1e6:.0f} MB\n")
    print("| | workers | efficiency | makespan | above the bound | workers lost | work lost | requests/s | driver busy |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in (*ROWS, SHORT):
        shot_s = drawn(STORIES, SHOTS, median_s=row.median_s, spread=SPREAD)
        for workers in WORKERS:
            conditions = Conditions(
                workers=workers,
                start_s=120.0,
                requests=requests,
                latency_s=row.latency_s,
                message_s=MESSAGE_S,
                hours_between_failures=row.hours_between_failures,
                detection_s=30.0,
            )
            found = simulate(shot_s, conditions)
            assert (found.finished, found.given_up) == (STORIES * SHOTS, 0)
            print(
                f"| {row.name} | {workers:,} | {found.efficiency:.3f} | {found.makespan_s / 3600:.1f} h "
                f"| {found.makespan_s / found.bound_s - 1:.1%} | {found.lost_workers:,} | {found.lost_s / 3600:.1f} h "
                f"| {requests * found.finished / found.makespan_s:.0f} | {found.driver_busy:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
