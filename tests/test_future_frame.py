"""``future-frame``: the rows to fill in, what they lack, and the forecast that uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstmcast.cli.app import run

SMALL = ["--max-steps", "2", "--hidden", "4", "--context", "8", "--horizon", "3", "--set", "training.batch=2", "-q"]
LAST = {"A": 40, "B": 35}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("future")
    lines = ["Datum;Laden;Umsatz;Aktion;Grad"]
    for shop, last in LAST.items():
        for n in range(1, last + 1):
            lines.append(f"{_date(n)};{shop};{n % 7},5;{n % 2};{n % 3},25")
    (folder / "a.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    line = ["train", str(folder / "a.csv"), "-m", str(folder / "model"), "--target", "Umsatz", *SMALL]
    assert run([*line, "--future", "Aktion", "--future", "Grad"]) == 0
    return folder


def _date(number: int) -> str:
    month, inside = (3, number) if number <= 31 else (4, number - 31)
    return f"{inside:02d}.{month:02d}.2024"


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return trained


def test_the_rows_to_fill_are_written_as_the_data_are(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["future-frame", "-m", str(place / "model")]) == 0
    assert "6 rows to fill in (Aktion, Grad): future.csv" in capsys.readouterr().err
    assert Path("future.csv").read_text("utf-8").splitlines() == [
        "Laden;Datum;Aktion;Grad",
        *[f"A;{_date(n)};;" for n in (41, 42, 43)],
        *[f"B;{_date(n)};;" for n in (36, 37, 38)],
    ]


def test_filled_in_they_pass_the_check_and_lead_to_a_forecast(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["-m", str(place / "model")]
    assert run(["future-frame", *model, "-o", "-", "-q"]) == 0
    empty = capsys.readouterr().out
    assert run(["predict", *model, "-o", "-", "-q"]) == 3
    assert Path("missing_future.csv").read_text("utf-8") == empty
    Path("missing_future.csv").unlink()
    Path("filled.csv").write_text(empty.replace(";;", ";1;0,25"), encoding="utf-8")
    assert run(["future-frame", *model, "--check", "filled.csv", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["noop"] is True
    assert "6 values are missing (6 in the future rows)" in captured.err
    assert not Path("missing_future.csv").exists()
    assert run(["predict", *model, "--future", "filled.csv", "-o", "-", "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7


def test_what_is_missing_is_listed_and_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled = [f"{_date(n)};A;1;0,25" for n in (41, 42)] + [f"{_date(n)};B;1;" for n in (36, 37, 38)]
    Path("filled.csv").write_text("Datum;Laden;Aktion;Grad\n" + "\n".join(filled) + "\n", encoding="utf-8")
    assert run(["future-frame", "-m", str(place / "model"), "--check", "filled.csv"]) == 1
    shown = capsys.readouterr()
    assert "5 cells in 4 rows are missing: missing_future.csv" in shown.err
    assert shown.out.splitlines()[1:3] == [f"A\t{_date(43)}\tAktion, Grad", f"B\t{_date(36)}\tGrad"]
    assert Path("missing_future.csv").read_text("utf-8").splitlines()[1:3] == [
        f"A;{_date(43)};;",
        f"B;{_date(36)};1,0;",
    ]


def test_future_rows_inside_the_data_count(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (place / "a.csv").read_text("utf-8")
    known = [f"{_date(n)};A;;1;0,25" for n in (41, 42, 43)] + [f"{_date(36)};B;;1;0,25"]
    Path("grown.csv").write_text(text + "\n".join(known) + "\n", encoding="utf-8")
    model = ["-m", str(place / "model")]
    assert run(["future-frame", "grown.csv", *model, "--check", "grown.csv", "-q"]) == 1
    assert [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["B", _date(37)],
        ["B", _date(38)],
    ]
    assert run(["future-frame", "grown.csv", *model, "--horizon", "1", "-q"]) == 0
    assert not Path("future.csv").exists()
    assert run(["future-frame", "grown.csv", *model, "-q"]) == 0
    rest = Path("future.csv").read_text("utf-8")
    assert rest.splitlines() == ["Laden;Datum;Aktion;Grad", f"B;{_date(37)};;", f"B;{_date(38)};;"]
    Path("future.csv").write_text(rest.replace(";;", ";0;1,5"), encoding="utf-8")
    assert run(["predict", "grown.csv", *model, "--future", "future.csv", "-q"]) == 0


def test_a_model_without_covariates_ahead_has_nothing_to_fill(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", str(place / "a.csv"), "--target", "Umsatz", *SMALL]
    assert run(line) == 0
    assert run(["future-frame"]) == 2
    assert "trained without covariates known ahead of time" in capsys.readouterr().err
    assert run(["future-frame", "-m", str(place / "model"), "--horizon", "4"]) == 2
    assert "trained to forecast 3 rows, not 4" in capsys.readouterr().err


def test_a_row_known_in_part_inside_the_data_is_completed_by_the_rows_filled_in(place: Path) -> None:
    text = (place / "a.csv").read_text("utf-8")
    Path("grown.csv").write_text(f"{text}{_date(41)};A;;1;\n", encoding="utf-8")
    assert run(["future-frame", "grown.csv", "-m", str(place / "model"), "-q"]) == 0
    listed = Path("future.csv").read_text("utf-8")
    assert f"A;{_date(41)};1,0;" in listed.splitlines()
    again = ["future-frame", "grown.csv", "-m", str(place / "model"), "--check", "future.csv", "-q"]
    filled = "".join(f"{line}3,5\n" if line.endswith(";1,0;") else f"{line}\n" for line in listed.splitlines())
    Path("future.csv").write_text(filled, encoding="utf-8")
    assert run(again) == 1
    assert f"A;{_date(41)};" not in Path("missing_future.csv").read_text("utf-8")
    Path("future.csv").write_text(filled.replace(";1,0;3,5", ";2,0;3,5"), encoding="utf-8")
    assert run(again) == 3
