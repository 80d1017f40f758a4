"""detect-anomalies through the command: its files, flags and endings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcast.anomaly.spans import parse_times
from lstmcast.cli.app import run
from lstmcast.data.clock import Clock
from lstmcast.errors import DataError

Capture = pytest.CaptureFixture[str]
SPIKE = "2026-01-18 04:00:00"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    times = pd.date_range("2026-01-01", periods=480, freq="h")
    y = 20 + 5 * np.sin(2 * np.pi * np.arange(480) / 24) + rng.normal(0, 0.5, 480)
    y[412] += 20
    other = 3 + rng.normal(0, 0.1, 480)
    pd.DataFrame({"ds": times, "load": y.round(3), "heat": other.round(3)}).to_csv("d.csv", index=False)


def detect(*options: str, target: str = "load") -> int:
    quick = ["--set", "training.max_steps=30", "--set", "network.hidden=8", "--target", target, "-q"]
    return run(["detect-anomalies", "d.csv", *quick, *options])


def test_offline_rows_have_a_region_score_and_online_rows_a_warm_up() -> None:
    assert detect() == 0
    offline = pd.read_csv("anomalies.csv")
    assert offline["region_score"].notna().all()
    assert offline["y_hat"].notna().sum() == 479
    assert detect("--mode", "online", "--warmup", "100") == 0
    online = pd.read_csv("anomalies.csv")
    assert online["region_score"].isna().all()
    assert (online["status"] == "warm_up").sum() == 100
    assert SPIKE in online.loc[online["is_anomaly"] == 1, "ds"].tolist()


def test_the_level_of_failure_can_be_named_or_left_to_any() -> None:
    assert detect("--fail-on-anomaly") == 10
    assert detect("--fail-on-anomaly", "critical") == 10
    assert detect("--fail-on-anomaly", "critical", "--direction", "down") == 0


def test_an_ignored_stretch_raises_no_alarm() -> None:
    Path("calendar.csv").write_text("start,end\n2026-01-18,2026-01-18\n", encoding="utf-8")
    assert detect("--ignore", "calendar.csv", "--fail-on-anomaly") == 0
    rows = pd.read_csv("anomalies.csv")
    assert (rows["status"] == "ignored").sum() == 24


def test_an_event_marked_false_is_not_told_again() -> None:
    assert detect("--fail-on-anomaly") == 10
    pd.read_csv("events.csv").assign(feedback="false").to_csv("said.csv", index=False)
    assert detect("--fail-on-anomaly", "--feedback", "said.csv") == 0


def test_labels_are_compared_with_alarms_beside_noise_and_a_pca(capsys: Capture) -> None:
    Path("labels.csv").write_text(f"start,end\n{SPIKE},2026-01-18 08:00:00\n", encoding="utf-8")
    assert detect("--labels", "labels.csv", "--json") == 0
    facts = json.loads(capsys.readouterr().out)["labels"]
    assert (facts["incidents"], facts["incidents_found"], facts["true_alarms"]) == (1, 1, 1)
    assert set(facts["average_precision"]) == {"score", "random", "subsequence_pca"}
    assert facts["average_precision"]["score"] > facts["average_precision"]["random"]


def test_an_event_and_a_quiet_row_are_explained(capsys: Capture) -> None:
    assert detect() == 0
    name = pd.read_csv("events.csv")["event_id"].iloc[0]
    capsys.readouterr()
    assert detect("--explain", str(name)) == 0
    assert "extreme" in capsys.readouterr().out
    assert detect("--explain", "nonsense") == 2
    assert "neither an event of these data nor a time" in capsys.readouterr().err


def test_times_may_be_written_shorter_than_those_of_the_data() -> None:
    Path("calendar.csv").write_text("start,end\n2026-01-18 04:00,2026-01-18 05:00\n", encoding="utf-8")
    assert detect("--ignore", "calendar.csv", "--fail-on-anomaly") == 0
    rows = pd.read_csv("anomalies.csv")
    assert (rows["status"] == "ignored").sum() == 2
    assert detect("--since", "2026-01-19") == 0
    assert pd.read_csv("anomalies.csv")["ds"].iloc[0] == "2026-01-19 00:00:00"
    assert detect("--explain", "2026-01-18 04:00") == 0
    assert detect("--explain", "18.01.2026 04:00") == 2


def test_short_times_are_read_in_the_zone_of_the_data() -> None:
    clock = Clock(kind="datetime", formats=("%d.%m.%Y %H:%M",), tz="Europe/Berlin")
    wanted = ["20.07.2026 00:00", "20.07.2026 03:10"]
    assert clock.format(parse_times(["2026-07-20", "2026-07-20 03:10"], clock)) == wanted
    assert clock.format(parse_times(["2026-07-20"], clock, last=True)) == ["20.07.2026 23:59"]
    with pytest.raises(DataError, match="not a time"):
        parse_times(["2026-07-20"], Clock(kind="integer"))


def test_monitoring_gets_one_line_and_its_own_codes(capsys: Capture) -> None:
    assert detect("--exit-codes", "nagios") == 2
    assert capsys.readouterr().out.startswith("LSTMCAST CRITICAL - d 2026-01-18 04:00:00: ")
    assert detect("--exit-codes", "nagios", "--last", "3h") == 0
    assert "LSTMCAST OK" in capsys.readouterr().out
    assert run(["detect-anomalies", "gone.csv", "--exit-codes", "nagios"]) == 3
    assert "LSTMCAST UNKNOWN" in capsys.readouterr().out


def test_old_data_have_an_exit_code_of_their_own(capsys: Capture) -> None:
    old = pd.read_csv("d.csv")
    old["ds"] = (pd.to_datetime(old["ds"]) - pd.Timedelta(days=3650)).astype(str)
    old.to_csv("d.csv", index=False)
    assert detect("--fail-on-stale", "2h") == 11
    assert "hours old" in capsys.readouterr().err
    assert detect("--fail-on-stale", "soon") == 2


def test_several_targets_are_one_series_with_its_channels_named() -> None:
    assert detect("--target", "heat") == 0
    rows, events = pd.read_csv("anomalies.csv"), pd.read_csv("events.csv")
    assert len(rows) == 960
    assert rows["channel"].tolist()[:2] == ["load", "heat"]
    told = events[events["start"] == SPIKE].iloc[0]
    assert told["top_channels"].startswith("load ")
    assert told["unique_id"] == "d"


def test_the_page_holds_every_event_and_keeps_markup_as_text() -> None:
    data = pd.read_csv("d.csv").assign(unique_id="<script>x</script>")
    data[["unique_id", "ds", "load"]].to_csv("d.csv", index=False)
    assert detect("--html", "page.html", "--plot", "page.svg") == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert SPIKE in page
    assert "<script>x" not in page
    assert Path("page.svg").stat().st_size > 1000
    assert detect("--plot", "page.html") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threshold", "labels"], "needs incidents to learn from"),
        (["--new-only"], "needs to know what was seen before"),
        (["--since", "2026-01-02 00:00:00", "--last", "2h"], "exclude each other"),
        (["--threshold", "ndt", "--mode", "online"], "looks at the whole history"),
        (["--last", "long"], "is not a span of time"),
        (["--fit", "never"], "needs a model"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(options: list[str], said: str, capsys: Capture) -> None:
    assert detect(*options) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("threshold", ["fdr", "ndt", "25"])
def test_every_threshold_finds_the_spike(threshold: str) -> None:
    assert detect("--threshold", threshold, "--format", "jsonl") == 0
    rows = [json.loads(line) for line in Path("anomalies.jsonl").read_text(encoding="utf-8").splitlines()]
    flagged = [row["ds"] for row in rows if row["is_anomaly"]]
    assert SPIKE in flagged


def test_too_little_history_is_told_with_the_arithmetic(capsys: Capture) -> None:
    pd.read_csv("d.csv")[:30].to_csv("d.csv", index=False)
    assert detect() == 12
    assert "the longest series has 30 rows" in capsys.readouterr().err


def test_an_ensemble_judges_the_newest_rows_by_the_calendar_of_those_still_to_come() -> None:
    whole = pd.read_csv("d.csv")
    whole[:400].to_csv("early.csv", index=False)
    small = ["--members", "2", "--max-steps", "10", "--horizon", "24", "--set", "network.hidden=8", "--target", "load"]
    assert run(["train", "early.csv", "-m", "m", "--calendar", "auto", *small, "-q"]) == 0
    told = []
    for rows in (440, 480):
        whole[:rows].to_csv("d.csv", index=False)
        assert detect("-m", "m") == 0
        told.append(pd.read_csv("anomalies.csv").set_index("ds")["y_hat"][400:440])
    pd.testing.assert_series_equal(told[0], told[1], rtol=1e-5)


def test_the_page_says_in_words_what_an_event_is_and_on_which_day() -> None:
    assert detect("--html", "page.html") == 0
    page = Path("page.html").read_text(encoding="utf-8")
    day = pd.Timestamp(SPIKE).day_name()
    kinds = set(pd.read_csv("events.csv")["kind"])
    assert f"{day} \\u00b7 " in page or f"{day} · " in page
    assert "above what was expected" in page
    assert not any(f"{kind}, " in page for kind in kinds)
