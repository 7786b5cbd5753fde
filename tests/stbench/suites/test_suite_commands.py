from __future__ import annotations


def test_the_suite_commands_have_exactly_these_flags():
    """Scripts depend on them: a flag that goes or is renamed breaks somebody's job."""
    import typer.main

    from stbench.cli import app

    group = typer.main.get_command(app).commands["suite"]
    flags = {name: sorted(option for p in command.params for option in p.opts[:1]) for name, command in group.commands.items()}
    assert flags == {
        "list": ["--json"],
        "show": ["--full", "--json", "--story", "suite"],
        "lint": ["--json", "--max", "--notes", "--strict", "suite"],
        "stats": ["--json", "--stories", "suites"],
        "diff": ["--json", "new", "old"],
        "convert": ["--json", "--to", "out", "source"],
        "add": ["--accept-licence", "--from", "name"],
        "new": ["--appearance", "--idea", "--llm", "--model", "--scenes", "--shots", "--tries", "out"],
        "prompt": ["--appearance", "--idea", "--scenes", "--schema-only", "--shots"],
        "generate": ["--characters", "--gap", "--out", "--seed", "--shots", "--stories", "--world", "name"],
    }


def test_every_suite_command_explains_itself(film):
    for name in ("show", "lint", "stats", "diff", "convert", "add", "new", "prompt", "generate"):
        shown = film("suite", name, "--help").out
        assert "Examples:" in shown
        assert "stbench suite " + name in shown
