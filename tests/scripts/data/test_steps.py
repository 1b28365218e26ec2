from __future__ import annotations

import io
import json
import re
import stat
import sys
import time
from pathlib import Path

import pytest

from fesf.scripts.data.steps import Runner, Step, StepError, error_line, read_markers


def python(name: str, code: str, after: tuple[str, ...] = (), inputs: tuple[Path, ...] = ()) -> Step:
    return Step(name, name.capitalize(), (sys.executable, "-S", "-c", code), after, inputs)


def append(path: Path, text: str) -> str:
    return f"open({str(path)!r}, 'a').write({text!r})"


class Screen(io.StringIO):
    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_runs_in_order_logs_and_times(tmp_path: Path) -> None:
    seen, screen = tmp_path / "seen", Screen()
    runner = Runner(tmp_path, jobs=2, stream=screen)
    steps = [
        python("one", append(seen, "1") + "; print('said one')"),
        python("two", append(seen, "2"), after=("one",)),
        python("three", append(seen, "3"), after=("two",)),
    ]
    runner.run(steps)
    assert seen.read_text() == "123"
    log = (tmp_path / "logs" / "one.log").read_text()
    assert log.startswith("$ python -S -c ")
    assert log.endswith("said one\n")
    markers = read_markers(tmp_path, ["three", "one", "absent"])
    assert [marker["title"] for marker in markers] == ["Three", "One"]
    assert all(0 <= marker["seconds"] < 30 for marker in markers)
    assert "Two: 0 s" in screen.getvalue()
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "steps" / "one.json").stat().st_mode) == 0o600


def test_skips_what_is_done_until_command_input_or_an_earlier_step_changes(tmp_path: Path) -> None:
    seen, given = tmp_path / "seen", tmp_path / "given"
    given.write_text("a")

    def again(first: str = "1") -> str:
        seen.write_text("")
        screen = Screen()
        one = python("one", append(seen, first), inputs=(given,))
        Runner(tmp_path, stream=screen).run([one, python("two", append(seen, "2"), after=("one",))])
        assert screen.getvalue().count("done before") == 2 - len(seen.read_text())
        return seen.read_text()

    assert again() == "12"
    assert again() == ""
    (tmp_path / "steps" / "two.json").unlink()
    assert again() == "2"
    given.write_text("b")
    assert again() == "12"
    assert again(first="x") == "x2"
    (tmp_path / "steps" / "one.json").write_text("not json")
    assert again(first="x") == "x"  # two was made from the same one


def test_failure_names_step_error_and_log_and_leaves_no_marker(tmp_path: Path) -> None:
    bad = python("bad", "print('start'); raise ValueError('alpha 2 is too large')")
    with pytest.raises(StepError) as caught:
        Runner(tmp_path, stream=Screen()).run([python("good", ""), bad, python("never", "", after=("bad",))])
    assert str(caught.value) == (f"Bad failed: ValueError: alpha 2 is too large\nLog: {tmp_path / 'logs' / 'bad.log'}")
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["good.json"]


def test_a_failure_stops_what_runs_beside_it(tmp_path: Path) -> None:
    start = time.monotonic()
    steps = [python("slow", "import time; time.sleep(60)"), python("bad", "raise SystemExit(3)")]
    with pytest.raises(StepError, match="Bad failed"):
        Runner(tmp_path, jobs=2, stream=Screen()).run(steps)
    assert time.monotonic() - start < 30
    assert not (tmp_path / "steps" / "slow.json").exists()


def test_jobs_run_side_by_side_and_never_more(tmp_path: Path) -> None:
    """Each of two waits for the other's file; the third must not start before one is done."""

    def meet(name: str, other: str) -> str:
        mine, theirs = str(tmp_path / name), str(tmp_path / other)
        return (
            f"import os, time\nopen({mine!r}, 'w')\n"
            f"end = time.time() + 30\n"
            f"while not os.path.exists({theirs!r}):\n assert time.time() < end\n time.sleep(.01)\n"
            f"assert not os.path.exists({str(tmp_path / 'third')!r})"
        )

    steps = [python("a", meet("a", "b")), python("b", meet("b", "a")), python("third", append(tmp_path / "third", "3"))]
    Runner(tmp_path, jobs=2, stream=Screen()).run(steps)
    assert (tmp_path / "third").read_text() == "3"


def test_a_terminal_sees_progress_and_a_file_does_not(tmp_path: Path) -> None:
    for terminal in (True, False):
        screen = Screen(terminal)
        Runner(tmp_path / str(terminal), stream=screen).run([python("slow", "import time; time.sleep(0.5)")])
        assert ("\r" in screen.getvalue()) is terminal
        assert re.search(r"Slow: \d+ s\n$", screen.getvalue())


def test_environment_reaches_the_step_its_text_and_its_key(tmp_path: Path) -> None:
    code = "import os; print(os.environ['FESF_WORD'])"
    for word in ("a", "b"):
        step = Step("env", "Env", (sys.executable, "-S", "-c", code), environment={"FESF_WORD": word})
        Runner(tmp_path, stream=Screen()).run([step])
        assert step.text.startswith(f"FESF_WORD={word} python -S -c ")
        assert (tmp_path / "logs" / "env.log").read_text().splitlines()[-1] == word
        assert json.loads((tmp_path / "steps" / "env.json").read_text())["command"] == step.text


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("a\nerror: Row 3 of the cohort\nlast words\n", "error: Row 3 of the cohort"),
        ("Traceback\nKeyError: 'x'\n\nfesf.data.CohortError: Row 2\n", "fesf.data.CohortError: Row 2"),
        ("10 %\r20 %\rstopped", "stopped"),
        ("\n\n", "no output"),
        ("usage: x\nx.py: error: bad option\n", "x.py: error: bad option"),
    ],
)
def test_error_line(tmp_path: Path, log: str, line: str) -> None:
    (tmp_path / "log").write_text(log)
    assert error_line(tmp_path / "log") == line


def test_error_line_reads_the_end_of_a_long_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ValueError: early\n" + "x\n" * 100_000 + "the end\n")
    assert error_line(tmp_path / "log") == "the end"
