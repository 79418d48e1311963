"""deploy/cron/aegis, read as cron reads it and run by the shell: once a day at three in Korea."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ops.stack.layout import ROOT
from tests.unit.nightly import NIGHTLY, asked

FILE = ROOT / "deploy" / "cron" / "aegis"
KOREA = ZoneInfo("Asia/Seoul")
NIGHTLY_LINE, STATUS_LINE = 0, 1


@dataclass(frozen=True)
class Line:
    schedule: tuple[str, ...]
    user: str
    command: str


def read() -> tuple[dict[str, str], list[Line]]:
    """Variables and lines as crontab(5) has them: no expansion, the sixth field a user, `\\%` for `%`."""
    variables: dict[str, str] = {}
    lines = []
    for text in FILE.read_text().splitlines():
        if not text or text.startswith("#"):
            continue
        if found := re.fullmatch(r"(\w+)\s*=\s*(.*)", text):
            variables[found[1]] = found[2]
        else:
            *schedule, user, command = text.split(None, 6)
            assert re.search(r"(?<!\\)%", command) is None, "cron would end the command there"
            assert len(command) < 998, "Debian's cron cuts it off"
            lines.append(Line(tuple(schedule), user, command.replace("\\%", "%")))
    return variables, lines


VARIABLES, LINES = read()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Where `aegis` writes its arguments and exits as told, and `date` shows the time that it is told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    stub(programs / "aegis", 'printf "%s\\n" "$*" "$POSTGRES_HOST" >>"$CALLS"; echo "said $2"; exit "$CODE"')
    stub(programs / "date", 'exec /bin/date --date="@$NOW" "$@"')
    (tmp_path / "aegis.env").write_text("POSTGRES_HOST='db $1'\n")
    (tmp_path / "calls").touch()
    return tmp_path


def stub(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def run(
    machine: Path, number: int, moment: datetime, zone: str = "UTC", code: int = 0
) -> subprocess.CompletedProcess[str]:
    """As cron does, in a nearly empty environment."""
    own = {
        "PATH": f"{machine / 'bin'}:/usr/bin:/bin",
        "AEGIS_ENV": str(machine / "aegis.env"),
        "AEGIS_REPORTS": str(machine),
        "AEGIS_METRICS": str(machine / "metrics"),
    }
    stubs = {"CALLS": str(machine / "calls"), "CODE": str(code), "NOW": str(int(moment.timestamp()))}
    return subprocess.run(
        [VARIABLES["SHELL"], "-c", LINES[number].command],
        env={**VARIABLES, **own, **stubs, "TZ": zone},
        cwd=machine,
        capture_output=True,
        text=True,
        check=False,
    )


def at_three() -> datetime:
    return datetime(2026, 5, 4, 3, tzinfo=KOREA)


def calls(machine: Path) -> list[str]:
    return (machine / "calls").read_text().splitlines()


def test_the_file_is_one_that_cron_takes() -> None:
    assert FILE.read_text().endswith("\n"), "cron does not run a last line without its end"
    assert re.fullmatch(r"[A-Za-z0-9_-]+", FILE.name), "Debian's cron skips other names"
    assert [line.user for line in LINES] == ["aegis", "aegis"]
    assert [line.schedule for line in LINES] == [("0", *"****"), ("30", *"****")]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", datetime(2026, 5, 4), 24),
        ("Asia/Kolkata", datetime(2026, 5, 4), 24),  # its full hours are Korea's half ones
        ("America/New_York", datetime(2026, 11, 1), 25),
    ],
)
def test_it_runs_once_a_day_in_the_hour_of_three_in_korea(
    machine: Path, zone: str, day: datetime, hours: int
) -> None:
    midnight = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    moments = [midnight + timedelta(hours=n) for n in range(hours)]
    ran = []
    for moment in moments:
        before = len(calls(machine))
        assert run(machine, NIGHTLY_LINE, moment, zone).returncode == 0
        if len(calls(machine)) > before:
            ran.append(moment)
    assert [moment.astimezone(KOREA).hour for moment in ran] == [3]


def test_it_runs_the_nightly_command_with_the_settings_of_the_file(machine: Path) -> None:
    run(machine, NIGHTLY_LINE, at_three())
    arguments, host = calls(machine)
    assert asked(["aegis", *shlex.split(arguments)]) == NIGHTLY
    for file in (f"{machine}/reconcile.json", f"{machine}/reconcile.html", f"{machine}/metrics/aegis.prom"):
        assert file in arguments.split()
    assert host == "db $1"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 10, 11])
def test_the_exit_code_stays_and_what_is_said_goes_to_the_log(machine: Path, code: int) -> None:
    ended = run(machine, NIGHTLY_LINE, at_three(), code=code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "")
    assert (machine / "reconcile.log").read_text() == "said repair\n"


def test_the_log_of_the_night_before_is_kept(machine: Path) -> None:
    for _ in range(2):
        run(machine, NIGHTLY_LINE, at_three())
    assert (machine / "reconcile.log").read_text() == "said repair\n" * 2


def test_without_its_settings_it_does_not_run_and_says_why(machine: Path) -> None:
    (machine / "aegis.env").unlink()
    ended = run(machine, NIGHTLY_LINE, at_three())
    assert ended.returncode
    assert "aegis.env" in ended.stderr  # which cron mails
    assert calls(machine) == []


@pytest.mark.parametrize("code", [0, 1, 3, 10])
def test_the_hourly_question_is_silent_while_all_is_right(machine: Path, code: int) -> None:
    ended = run(machine, STATUS_LINE, at_three() + timedelta(hours=5), code=code)
    assert calls(machine)[0] == "reconcile status"
    assert ended.returncode == code
    assert ended.stdout == ("said status\n" if code else "")
