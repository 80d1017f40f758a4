"""Schedule: the lines that make a machine run a job every night. They are shown, never installed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

_TEXT = """\
# crontab -e
15 2 * * *  cd {folder} && {command} --log-format jsonl >> {log} 2>&1

# /etc/systemd/system/lstmcast-{name}.service
[Unit]
Description=lstmcast job {name}

[Service]
Type=oneshot
WorkingDirectory={unit_folder}
ExecStart={unit_command} --log-format jsonl
# 6: some series fell back, 75: try later, 143: stopped, the next run goes on. None is a failure of the unit.
SuccessExitStatus=6 75 143

# /etc/systemd/system/lstmcast-{name}.timer
[Unit]
Description=lstmcast job {name} every night

[Timer]
OnCalendar=*-*-* 02:15:00
Persistent=true

[Install]
WantedBy=timers.target

# systemctl enable --now lstmcast-{name}.timer"""


def this_program() -> list[str]:
    """The words that start this very installation, whatever is on the path of the scheduler."""
    beside = Path(sys.executable).with_name("lstmcast")
    return [str(beside)] if beside.is_file() else [sys.executable, "-m", "lstmcast"]


def schedule(job: Path, *, program: Sequence[str]) -> str:
    """The crontab line and the systemd units that run the job file ``job`` with ``program`` at 02:15 every night."""
    job = job.absolute()
    words = [*program, "run", str(job)]
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in job.stem)
    return _TEXT.format(
        folder=_cron(shlex.quote(str(job.parent))),
        command=_cron(shlex.join(words)),
        log=_cron(shlex.quote(f"{job.stem}.log")),
        name=name,
        unit_folder=str(job.parent).replace("%", "%%"),
        unit_command=" ".join(_unit(word) for word in words),
    )


def _cron(text: str) -> str:
    return text.replace("%", r"\%")  # cron ends the command at a bare %


def _unit(word: str) -> str:
    word = word.replace("%", "%%").replace("$", "$$")
    plain = not any(letter in word for letter in " \"'\\\t")
    return word if plain else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
