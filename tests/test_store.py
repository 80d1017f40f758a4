"""The store: what is written twice is there once, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from lstmcast.errors import ModelError, ResourceError, UsageError
from lstmcast.ops import store
from lstmcast.ops.scoring import adapted, coverage, skill_of
from lstmcast.ops.store import opened

RUN = {
    "job": "sales",
    "started_at": "2024-03-01T02:15:00+00:00",
    "ended_at": "2024-03-01T02:16:00+00:00",
    "exit_code": 0,
    "fingerprint": "f",
    "identity": "i",
    "model_id": "m",
    "version": "1",
    "facts": {"newest": "2024-02-29"},
    "cursor": {"size": 7},
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'lstmcast.db'}"
    address: str = request.getfixturevalue("postgres_url")
    return address


def forecast(step: int, *, cutoff: int = 10, y_hat: float = 1.0, job: str = "sales") -> dict[str, Any]:
    return {
        "job": job,
        "unique_id": "A'; DROP TABLE forecasts; --",
        "target": "y",
        "cutoff": cutoff,
        "ds": cutoff + step,
        "run": 1,
        "cutoff_text": str(cutoff),
        "ds_text": str(cutoff + step),
        "step": step,
        "y_hat": y_hat,
        "quantiles": {"lo-80": 0.5, "hi-80": None},
        "baseline": None,
        "status": "ok",
    }


def score(row: dict[str, Any], y: float) -> tuple[dict[str, Any], dict[str, Any]]:
    keys = {key: row[key] for key in ("job", "unique_id", "target", "ds", "run")}
    actual = keys | {"ds_text": row["ds_text"], "y": y}
    scored = keys | {"cutoff": row["cutoff"], "step": row["step"], "error": row["y_hat"] - y, "baseline_error": None}
    return actual, scored | {"covered": {"80": 1}}


def test_what_is_written_twice_is_there_once_and_as_written_last(url: str) -> None:
    with opened(url) as base:
        for value in (1.0, 2.0):
            with base.transaction() as writing:
                writing.upsert(store.forecasts, [forecast(step, y_hat=value) for step in range(1, 1201)])
        found = base.to_score("sales", first=0, last=10_000, again=False)
    assert len(found) == 1200
    assert set(found["y_hat"]) == {2.0}
    assert found["quantiles"].iloc[0] == {"lo-80": 0.5, "hi-80": None}
    assert found["unique_id"].iloc[0] == "A'; DROP TABLE forecasts; --"


def test_a_forecast_waits_for_its_score_until_it_has_one(url: str) -> None:
    rows = [forecast(1), forecast(2), forecast(1, job="other")]
    actual, scored = score(rows[0], 1.5)
    with opened(url) as base:
        with base.transaction() as writing:
            writing.upsert(store.forecasts, rows)
            writing.upsert(store.actuals, [actual])
            writing.upsert(store.scores, [scored])
        assert base.to_score("sales", first=0, last=100, again=False)["step"].tolist() == [2]
        again = base.to_score("sales", first=0, last=100, again=True).sort_values("step")
        assert again["scored"].notna().tolist() == [True, False]
        assert base.to_score("sales", first=0, last=11, again=True)["step"].tolist() == [1]
        known = base.scored("sales")
        assert known[["y", "y_hat", "error"]].to_numpy().tolist() == [[1.5, 1.0, -0.5]]


def test_scores_of_the_last_cutoffs_alone_can_be_asked_for(url: str) -> None:
    rows = [forecast(1, cutoff=cutoff) for cutoff in range(5)]
    with opened(url) as base:
        with base.transaction() as writing:
            writing.upsert(store.forecasts, rows)
            for actual, scored in (score(row, 1.0) for row in rows):
                writing.upsert(store.actuals, [actual])
                writing.upsert(store.scores, [scored])
        assert base.scored("sales")["cutoff"].tolist() == [0, 1, 2, 3, 4]
        assert base.scored("sales", cutoffs=2)["cutoff"].tolist() == [3, 4]


def test_a_failed_transaction_leaves_nothing(url: str) -> None:
    def fail(base: store.Store) -> None:
        with base.transaction() as writing:
            writing.run(RUN)
            writing.upsert(store.forecasts, [forecast(1)])
            raise ValueError("stop")

    with opened(url) as base:
        with pytest.raises(ValueError, match="stop"):
            fail(base)
        assert base.last_run("sales") is None
        assert base.to_score("sales", first=0, last=100, again=True).empty


def test_the_last_run_is_the_last_published_and_the_last_training_whatever_came_after(url: str) -> None:
    with opened(url) as base:
        with base.transaction() as writing:
            writing.run(RUN | {"trained_at": "2024-03-01", "training": {"newest_time": 5}})
            second = writing.run(RUN)
            writing.run(RUN | {"fingerprint": "", "exit_code": 3})
            writing.run(RUN | {"job": "other"})
        last, trained = base.last_run("sales"), base.last_run("sales", trained=True)
        assert last is not None
        assert trained is not None
        assert (last["run"], last["facts"], last["cursor"]) == (second, RUN["facts"], RUN["cursor"])
        assert trained["training"] == {"newest_time": 5}
        assert [run["exit_code"] for run in base.list_runs("sales")] == [0, 0, 3]


def test_an_older_store_is_brought_up_to_date_and_keeps_its_rows(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url) as base, base.transaction() as writing:
        writing.run(RUN)
    monkeypatch.setattr(store, "VERSION", store.VERSION + 1)
    monkeypatch.setitem(store.MIGRATIONS, store.VERSION - 1, ("ALTER TABLE runs ADD COLUMN host TEXT",))
    for _ in range(2):  # the second time there is nothing left to do
        with opened(url) as base:
            assert len(base.list_runs("sales")) == 1
    engine = sa.create_engine(store.address(url))
    assert "host" in {column["name"] for column in sa.inspect(engine).get_columns("runs")}
    engine.dispose()


def test_a_store_of_a_later_version_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url):
        pass
    monkeypatch.setattr(store, "VERSION", 0)
    with pytest.raises(ModelError, match="the store has version 1; this lstmcast writes version 0"), opened(url):
        pass


def test_a_password_is_never_shown() -> None:
    address = "postgresql+psycopg://anna:s3cret@localhost:1/none?connect_timeout=1"
    with pytest.raises(ResourceError, match="cannot be used") as told, opened(address):
        pass
    assert "s3cret" not in str(told.value)
    assert "anna:***@localhost" in str(told.value)


def test_a_store_that_cannot_be_written_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResourceError, match="cannot be used"), opened(f"sqlite:///{tmp_path / 'folder'}"):
        pass
    (tmp_path / "noise.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ResourceError, match="not a database"), opened(f"sqlite:///{tmp_path / 'noise.db'}"):
        pass
    assert stat.S_ISDIR((tmp_path / "folder").stat().st_mode)


def test_another_kind_of_database_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not a database URL"), opened("oracle9://x"):
        pass


def scores_of(nights: int, *, held: float, level: str = "80") -> pd.DataFrame:
    """Scores of some nights of ten rows, of which the share ``held`` lay inside."""
    inside = [1] * round(10 * held) + [0] * (10 - round(10 * held))
    rows = [
        {
            "unique_id": "A", "target": "y", "cutoff": night, "covered": {level: value},
            "error": 1.0, "baseline_error": 2.0,
        }
        for night in range(nights)
        for value in inside
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["unique_id", "target", "cutoff", "covered", "error", "baseline_error"])


def test_intervals_that_held_too_seldom_are_asked_for_at_a_higher_level_and_the_other_way_round() -> None:
    assert adapted((80.0,), scores_of(0, held=1)) == {80.0: 80.0}
    assert adapted((80.0,), scores_of(1, held=0.8)) == {80.0: 80.0}
    assert adapted((80.0,), scores_of(1, held=0.6)) == {80.0: 81.0}
    assert adapted((80.0,), scores_of(1, held=1.0)) == {80.0: 79.0}


def test_adapted_levels_stay_within_bounds_and_in_order() -> None:
    narrow = adapted((80.0, 95.0), scores_of(500, held=1.0, level="95"))
    assert narrow[80.0] < narrow[95.0] == 90.0
    wide = adapted((80.0, 95.0), scores_of(500, held=0.0))
    assert wide[80.0] == 98.0
    assert wide[95.0] > wide[80.0]


def test_adapted_levels_win_back_the_coverage_of_an_interval_that_is_too_narrow() -> None:
    share, nights = 0.5, []  # the interval asked for at 80 % holds half of the time; wider ones hold in proportion
    for night in range(80):
        level = adapted((80.0,), pd.concat(nights) if nights else scores_of(0, held=1))[80.0]
        held = round(10 * min(1.0, share + (level - 80) / 18 * 0.5)) / 10
        nights.append(scores_of(1, held=held).assign(cutoff=night))
    lately = coverage(pd.concat(nights[-30:]))["80"]
    assert abs(lately - 0.8) < 0.06


def test_skill_counts_each_series_alike_whatever_its_units() -> None:
    small = scores_of(1, held=1).assign(error=0.1, baseline_error=0.2)
    large = scores_of(1, held=1).assign(unique_id="B", error=900.0, baseline_error=600.0)
    assert skill_of(pd.concat([small, large])) == pytest.approx(1 - (0.5 + 1.5) / 2)
    assert skill_of(small.assign(baseline_error=0.0)) is None
