"""Targets that are classes: probabilities instead of quantiles, from the reader to the command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lstmcast.cli.app import run
from lstmcast.config import ReaderSettings, Settings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.errors import DataError, UsageError
from lstmcast.fit.learn import learn
from lstmcast.fit.plan import make
from lstmcast.forecast.classes import SHARES, certain, class_columns, class_frame, judge_classes, log_loss
from lstmcast.layers import resolve
from lstmcast.net.architecture import Architecture
from lstmcast.net.decoder import DECODERS
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.heads.categorical import CategoricalHead
from lstmcast.net.labels import log_shares
from lstmcast.net.teacher import Teacher
from lstmcast.outcome import silent

B, T, H, K = 5, 20, 6, 3
every_decoder = pytest.mark.parametrize("decoder", list(DECODERS))
QUICK = ["--max-steps", "40", "--hidden", "16", "--members", "1", "-q"]


def architecture(**fields: Any) -> Architecture:
    given: dict[str, Any] = {
        "context": T, "horizon": H, "classes": K, "loss": "categorical", "quantiles": (0.5,), "patch": 4, "hidden": 8,
        "dropout": 0.0, **fields,
    }  # fmt: skip
    return Architecture(**given)


def network(**fields: Any) -> Forecaster:
    return Forecaster(architecture(**fields), generator=torch.Generator().manual_seed(0)).eval()


def inputs(*, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, K, (B, T, 1), generator=generator).float()
    observed = torch.rand(B, T, 1, generator=generator) > 0.1
    observed[:, -1] = True
    return codes, observed, torch.zeros(B, T, 0), torch.zeros(B, H, 0)


# The network


@every_decoder
@pytest.mark.parametrize("highway", [False, True])
def test_probabilities_sum_to_one_and_do_not_depend_on_neighbours(decoder: str, highway: bool) -> None:
    forecaster = network(decoder=decoder, highway=highway)
    together = forecaster.quantiles(forecaster(*inputs()))
    assert together.shape == (B, H, 1, K)
    torch.testing.assert_close(together.sum(-1), torch.ones(B, H, 1))
    alone = forecaster.quantiles(forecaster(*(part[2:3] for part in inputs())))
    torch.testing.assert_close(alone, together[2:3])


@every_decoder
def test_every_step_feels_the_newest_class(decoder: str) -> None:
    forecaster = network(decoder=decoder)
    codes, *rest = inputs()
    other = codes.clone()
    other[:, -1] = (codes[:, -1] + 1) % K
    change = (forecaster.quantiles(forecaster(codes, *rest)) - forecaster.quantiles(forecaster(other, *rest))).abs()
    assert (change.amax(-1) > 0).all()


def test_what_was_not_observed_changes_neither_forecast_nor_loss() -> None:
    forecaster = network(highway=True)
    codes, observed, past, future = inputs()
    target, known = torch.ones(B, H, 1), torch.arange(H)[:, None].expand(B, H, 1) % 2 == 0
    seen = []
    for fill in (0.0, 2.0, 1e9, float("nan")):
        prediction = forecaster(torch.where(observed, codes, fill), observed, past, future)
        loss = forecaster.loss(prediction, torch.where(known, target, fill), known)
        seen.append((forecaster.quantiles(prediction), loss))
    assert all(torch.equal(a, seen[0][0]) and torch.equal(b, seen[0][1]) for a, b in seen)


def test_cross_entropy_is_least_at_the_true_probabilities() -> None:
    truth = torch.tensor([0.2, 0.5, 0.3])
    head = CategoricalHead((0.5,), classes=K)
    target = torch.multinomial(truth, 20_000, replacement=True, generator=torch.Generator().manual_seed(0)).float()
    observed = torch.ones_like(target, dtype=torch.bool)[:, None]

    def loss(probabilities: Tensor) -> float:
        raw = probabilities.log().expand(len(target), 1, K)
        return float(head.loss(raw, torch.zeros(len(target), K), target[:, None], observed))

    least = loss(truth)
    assert least == pytest.approx(-(truth * truth.log()).sum().item(), abs=0.02)
    for other in ((0.3, 0.4, 0.3), (0.2, 0.4, 0.4), (1 / 3, 1 / 3, 1 / 3)):
        assert loss(torch.tensor(other)) > least + 0.005
    made = head.quantiles(truth.log().expand(1, 1, K), torch.zeros(1, K))
    torch.testing.assert_close(made[0, 0], truth)


def test_before_it_has_learned_a_network_forecasts_the_shares_of_the_context() -> None:
    z = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]])
    shares = log_shares(z, z.sum(-1, keepdim=True).bool().expand_as(z)).exp()
    torch.testing.assert_close(shares, torch.tensor([[[3.0, 2.0, 1.0]]]) / 6)


def test_a_decoder_is_told_classes_as_it_reads_them() -> None:
    forecaster = network(decoder="seq2seq", patch=2)
    target = torch.full((B, H, 1), 2.0)
    teacher = Teacher(target, torch.ones_like(target, dtype=torch.bool), torch.ones(B, 3, dtype=torch.bool))
    other = teacher._replace(target=torch.full((B, H, 1), 1.0))
    told, elsewise = (forecaster.quantiles(forecaster(*inputs(), teacher=one)) for one in (teacher, other))
    assert torch.equal(told[:, :2], elsewise[:, :2])  # the first patch is written before anything is told
    assert not torch.equal(told[:, 2:], elsewise[:, 2:])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"loss": "mae"}, "loss 'mae' forecasts numbers, and the target holds classes"),
        ({"classes": 0}, "the target holds numbers; name a column of words"),
        ({"transform": "log"}, "transform 'log' is about numbers"),
        ({"targets": 2}, "2 targets of classes cannot be forecast together"),
        ({"stateful": True, "normaliser": "causal"}, "from windows, not from a carried state"),
    ],
)
def test_what_classes_do_not_go_with_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        network(**fields)


# Reading


def written(folder: Path, values: list[str], *, name: str = "state.csv") -> str:
    rows = "".join(f"a,{n},{value}\n" for n, value in enumerate(values, start=1))
    (folder / name).write_text("machine,t,state\n" + rows)
    return str(folder / name)


def panel_of(path: str, **given: Any) -> Panel:
    return read([path], ReaderSettings.model_validate({"target": ("state",), "time_col": "t", **given})).panel


def test_a_target_of_words_is_read_as_classes_and_keeps_their_numbers(tmp_path: Path) -> None:
    panel = panel_of(written(tmp_path, ["on", "off", "", "on", "odd"]))
    assert panel.schema.classes == ("odd", "off", "on")
    assert panel.values[:, 0].tolist() == [2, 1, 0, 2, 0]
    assert panel.observed[:, 0].tolist() == [True, True, False, True, True]
    later = read([written(tmp_path, ["off", "new", "on"], name="b.csv")], ReaderSettings(), schema=panel.schema)
    assert later.panel.observed[:, 0].tolist() == [True, False, True]
    assert any("target state holds 'new', which training never saw" in f.message for f in later.findings)


def test_numbers_and_yes_and_no_are_classes_only_if_asked(tmp_path: Path) -> None:
    path = written(tmp_path, ["1", "3", "3", "1"])
    assert panel_of(path).schema.classes == ()
    assert panel_of(path, classes=True).schema.classes == ("1", "3")
    answers = written(tmp_path, ["yes", "no", "no", "yes"], name="answers.csv")
    assert panel_of(answers).schema.classes == ()
    assert panel_of(answers, classes=True).schema.classes == ("no", "yes")


def test_measures_with_units_are_not_taken_for_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        panel_of(written(tmp_path, ["5 kg", "7 kg", "6 kg"]))


@pytest.mark.parametrize("given", [{"gaps": "zero"}, {"duplicates": "mean"}, {"resample": "3"}])
def test_classes_are_not_added_up_or_averaged(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="counts with numbers, and the target state holds classes"):
        panel_of(written(tmp_path, ["on", "off"] * 6), **given)


# Learning and judging


def cycle(tmp_path: Path, rows: int = 200) -> Panel:
    states = ["a", "a", "b", "c"]
    return panel_of(written(tmp_path, [states[n % 4] for n in range(rows)]))


def settings(network: dict[str, Any] | None = None, **training: Any) -> Settings:
    small = {"horizon": 4, "hidden": 8} | (network or {})
    return resolve([("test", {"network": small, "training": training})], choices={})


def test_the_loss_is_chosen_by_the_target_and_what_is_about_numbers_refused(tmp_path: Path) -> None:
    panel = cycle(tmp_path)
    plan = make(panel, settings())
    assert (plan.regime, plan.architecture.loss, plan.architecture.classes) == ("classes", "categorical", 3)
    assert plan.settings.network.loss == "categorical"
    with pytest.raises(UsageError, match=r"integer is about numbers.*\n.*minimum is about numbers"):
        make(panel, settings({"minimum": 0, "integer": True}))
    with pytest.raises(UsageError, match="loss 'categorical' forecasts classes, and the target holds numbers"):
        make(panel_of(written(tmp_path, ["1", "2"] * 50)), settings({"loss": "categorical"}))


def test_a_cycle_of_classes_is_learned(tmp_path: Path) -> None:
    panel = cycle(tmp_path)
    learned = learn(panel, settings(max_steps=150, members=1), ablates=True, on_progress=silent)
    cutoffs, limit = learned.plan.split.validation, learned.plan.split.limit
    verdict = judge_classes(class_frame(panel, cutoffs, learned.held, season=1, limit=limit), panel)
    assert verdict.overall["y_hat"]["accuracy"] > 0.95
    assert verdict.overall["y_hat"]["log_loss"] < 0.5 < verdict.overall[SHARES]["log_loss"]
    assert verdict.skill > 0.9
    assert "accuracy" in verdict.sentence()
    assert learned.encoder is not None
    assert "log loss" in learned.encoder.sentence()


def test_scores_of_classes_are_worked_out_by_hand() -> None:
    given = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]])
    found = log_loss(given, np.array([0.0, 1.0, np.nan]))
    assert found[:2].tolist() == pytest.approx([-math.log(0.7), -math.log(0.1)])
    assert np.isnan(found[2])
    assert log_loss(certain(np.array([1.0]), 3), np.array([0.0]))[0] == pytest.approx(-math.log(1e-6))
    columns = class_columns(np.vstack([given, np.full((1, 3), np.nan)]), ("x", "y", "z"))
    assert columns["y_hat"].tolist() == ["x", "z", "y", None]
    assert columns["p-z"][:3].tolist() == [0.1, 0.8, 0.3]


# Through the command


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hours of two machines that stop at night and sometimes fail, the day after them, and a model of the first."""
    folder = tmp_path_factory.mktemp("machines")
    chance, frames = np.random.default_rng(3), []
    for machine in ("lathe", "press"):
        times = pd.date_range("2024-01-01", periods=24 * 15, freq="h")
        state = np.where(times.hour < 6, "off", np.where(chance.random(len(times)) < 0.1, "fault", "run"))
        frames.append(pd.DataFrame({"machine": machine, "time": times, "state": state}))
    everything = pd.concat(frames)
    everything[everything.time < "2024-01-15"].to_csv(folder / "data.csv", index=False)
    everything[everything.time >= "2024-01-15"].to_csv(folder / "later.csv", index=False)
    wish = ["--target", "state", "-m", str(folder / "m"), "--horizon", "24"]
    assert run(["train", str(folder / "data.csv"), *wish, *QUICK]) == 0
    assert run(["predict", "-m", str(folder / "m"), "-o", str(folder / "f.csv"), "-q"]) == 0
    return folder


def test_a_forecast_names_the_likeliest_class_and_the_probability_of_each(machines: Path) -> None:
    frame = pd.read_csv(machines / "f.csv")
    chances = frame[["p-fault", "p-off", "p-run"]]
    assert frame.columns.tolist()[:5] == ["unique_id", "ds", "cutoff", "step", "y_hat"]
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (frame.y_hat == chances.idxmax(axis=1).str.removeprefix("p-")).all()
    night = pd.to_datetime(frame.ds).dt.hour < 6
    assert (frame.y_hat[night] == "off").mean() > 0.8


def test_training_evaluation_and_backtest_tell_accuracy_and_log_loss(
    machines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = json.loads((machines / "m" / "manifest.json").read_text())["summary"]["verdict"]
    assert set(verdict["metrics"]) == {"accuracy", "log_loss"}
    assert set(verdict["metrics"]["accuracy"]) == {"y_hat", "seasonal-naive", "class-shares"}
    capsys.readouterr()
    assert run(["evaluate", str(machines / "f.csv"), str(machines / "later.csv"), "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)["targets"]["state"]["metrics"]
    forecast, later = pd.read_csv(machines / "f.csv"), pd.read_csv(machines / "later.csv")
    assert told["accuracy"]["y_hat"] == pytest.approx((forecast.y_hat == later.state).mean(), abs=1e-5)
    chance = forecast.apply(lambda row: row[f"p-{later.state[row.name]}"], axis=1)
    assert told["log_loss"]["y_hat"] == pytest.approx(-np.log(chance).mean(), rel=1e-3)
    assert 0 < told["accuracy"]["seasonal-naive"] <= 1
    out = ["-o", str(tmp_path / "b.csv"), "--metrics", str(tmp_path / "bm.csv")]
    data = str(machines / "data.csv")
    assert run(["backtest", data, "--target", "state", "--horizon", "24", "--windows", "2", *QUICK, *out]) == 0
    frame = pd.read_csv(tmp_path / "b.csv")
    assert set(frame.y) <= {"off", "run", "fault"}
    assert {"p-off", "seasonal-naive"} <= set(frame.columns)
    assert not [name for name in frame.columns if ":" in name]
    assert set(pd.read_csv(tmp_path / "bm.csv").metric) == {"accuracy", "log_loss"}


def test_a_model_of_classes_is_verified_and_what_is_about_numbers_refused(
    machines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = str(machines / "m"), str(machines / "data.csv")
    job = f"input: {data}\nmodel: {machines / 'night'}\npredict: {{output: night.csv}}\nreader: {{target: [state]}}\n"
    (machines / "job.yaml").write_text(job)
    assert run(["model", "verify", model]) == 0
    capsys.readouterr()
    for command, sentence in (
        (["predict", "-m", model, "--samples", "3", "-o", "-"], "knows no distribution to draw samples from"),
        (["detect-anomalies", data, "-m", model, "-o", str(tmp_path / "a.csv")], "detect-anomalies is about numbers"),
        (["compare", data, "--target", "state", "--cells", "lstm,gru"], "compare is about numbers"),
        (["inspect", model, data], "looking into forecasts with inspect is about numbers"),
        (["run", str(machines / "job.yaml")], "a scheduled run is about numbers"),
        (["plot", str(machines / "f.csv"), "-o", str(tmp_path / "x.html")], "forecasts classes, and a chart shows"),
        (
            ["backtest", data, "--target", "state", "--baselines", "drift", "--horizon", "24"],
            "the baseline drift forecasts numbers",
        ),
    ):
        assert run(command) == 2, command
        assert sentence in capsys.readouterr().err
