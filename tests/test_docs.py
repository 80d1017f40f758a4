"""What the documents say is what the program does."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from lstmcast import __version__
from lstmcast.cli.app import VERBS, application
from lstmcast.layers import read_settings_file, resolve
from lstmcast.recipes.listing import FAMILIES, choices

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def script(path: str) -> ModuleType:
    """A script outside the package, imported."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference_maker() -> ModuleType:
    return script("docs/make_reference.py")


@pytest.fixture(scope="module")
def verbs() -> dict[str, Any]:
    group: Any = typer.main.get_command(application(VERBS))
    context = group.make_context("lstmcast", [], resilient_parsing=True)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


@pytest.fixture(scope="module")
def prose() -> str:
    return "\n".join(page.read_text("utf-8") for page in PAGES)


def long_options(command: Any) -> set[str]:
    spellings = (spelling for parameter in command.params for spelling in (*parameter.opts, *parameter.secondary_opts))
    return {spelling for spelling in spellings if spelling.startswith("--")}


def test_every_verb_and_every_long_option_is_documented(verbs: dict[str, Any], prose: str) -> None:
    words = set(re.findall(r"--[a-z0-9][a-z0-9-]*|lstmcast [a-z-]+", prose))
    missing = {f"lstmcast {verb}" for verb in verbs} - words
    missing |= {f"{verb} {option}" for verb in verbs for option in long_options(verbs[verb]) - words}
    assert not missing, f"run python docs/make_reference.py; undocumented: {sorted(missing)}"


def test_every_member_of_every_family_is_documented(prose: str) -> None:
    missing = [f"{kind} {name}" for kind, table in FAMILIES.items() for name in table if f"`{name}`" not in prose]
    assert not missing, f"run python docs/make_reference.py; undocumented: {missing}"


def test_the_reference_is_what_the_program_says(reference_maker: ModuleType) -> None:
    written = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert written == reference_maker.reference(), "run python docs/make_reference.py and commit docs/reference.md"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_settings_file_in_configs_is_valid(path: Path) -> None:
    settings = resolve([(path.name, read_settings_file(path))], choices=choices())
    assert settings.model_fields_set, f"{path.name} sets nothing"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_settings_file_opens_with_the_command_that_runs_it(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert re.fullmatch(rf"# lstmcast train sample_data/\S+\.csv (--target \w+ )?--config configs/{path.name}", first)


def commands(text: str) -> Iterator[list[str]]:
    """Each ``lstmcast VERB ...`` shown after ``$``, ``#`` or ``.venv/bin/``, up to a pipe, redirection or comment."""
    for line in re.findall(
        r"^(?:\$ |# |\s*\$\(BIN\)/|[\d* ]+ )lstmcast (.+)$", text.replace("\\\n", " "), re.MULTILINE
    ):
        yield shlex.split(re.split(r" (?:#|>|2>|\||&&|;) ?", line)[0])


SHOWN = [
    (page.name, command)
    for page in [*PAGES, *CONFIGS, ROOT / "Makefile", ROOT / "sample_data" / "SOURCES.md"]
    if page.name != "reference.md"
    for command in commands(page.read_text("utf-8"))
]


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=lambda value: value if isinstance(value, str) else value[0])
def test_every_command_shown_exists_with_its_options_and_files(
    page: str, command: list[str], verbs: dict[str, Any]
) -> None:
    verb, *words = command
    assert verb in verbs, f"{page} shows lstmcast {verb}, which does not exist"
    unknown = {word.split("=")[0] for word in words if word.startswith("--")} - long_options(verbs[verb])
    assert not unknown, f"{page} shows {sorted(unknown)}, which lstmcast {verb} does not have"
    for word in words:
        if word.startswith(("sample_data/", "configs/")):
            assert (ROOT / word).exists(), f"{page} shows {word}, which does not exist"


def test_the_first_screen_of_the_readme_holds_three_commands() -> None:
    first_block = (ROOT / "README.md").read_text("utf-8").split("```")[1]
    assert len(list(commands(first_block))) == 3


def test_the_readme_needs_no_set_up_beyond_the_two_commands_of_make() -> None:
    before_install = (ROOT / "README.md").read_text("utf-8").split("## Install")[0]
    block = before_install.split("```")[3]
    assert block.split("\n")[1:-1] == ["make demo", "make test"]
    assert not re.findall(r"pip install|conda|poetry|source |export ", before_install)


def test_the_readme_knows_every_exit_code_of_the_help() -> None:
    group: Any = typer.main.get_command(application(VERBS))
    readme = (ROOT / "README.md").read_text("utf-8")
    known = set(re.findall(r"\d+", " ".join(re.findall(r"^\| ([\d, ]+) \|", readme, re.MULTILINE))))
    assert known == set(re.findall(r"^ *(\d+)  ", group.epilog, re.MULTILINE)) | {"143"}


def test_the_changelog_opens_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert versions[0] == __version__


@pytest.mark.parametrize("page", [*PAGES, ROOT / "sample_data" / "SOURCES.md"], ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8"))
    broken = [link for link in links if not (page.parent / link).exists()]
    assert not broken, f"{page.name} links to {broken}, which do not exist"


def test_the_constraints_pin_every_dependency_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    loose = [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert not loose, f"constraints.txt must name one released version each: {loose}"
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in pins}
    asked = re.findall(
        r'^  "([A-Za-z][A-Za-z0-9_.-]*)[><=!~]', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    missing = {re.sub(r"[-_.]+", "-", name).lower() for name in asked} - pinned
    assert not missing, f"constraints.txt lacks {sorted(missing)}"


def test_the_made_up_samples_are_written_again_byte_for_byte() -> None:
    samples = script("sample_data/make_samples.py")
    panel, labels = samples.shops()
    again = {
        "shops_hourly.csv": panel.encode(),
        "shops_anomalies.csv": labels.encode(),
        "heating_export.csv": samples.heating_export(),
    }
    differing = [name for name, written in again.items() if (ROOT / "sample_data" / name).read_bytes() != written]
    assert not differing, f"run python sample_data/make_samples.py; different: {differing}"


def test_the_measured_sample_is_written_again_byte_for_byte() -> None:
    pytest.importorskip("statsmodels", reason="the extra [baselines] brings the series")
    written = script("sample_data/make_samples.py").sea_temperature().encode()
    assert (ROOT / "sample_data" / "sea_temperature.csv").read_bytes() == written


def test_every_sample_is_described_and_small() -> None:
    described = (ROOT / "sample_data" / "SOURCES.md").read_text("utf-8")
    for path in (ROOT / "sample_data").glob("*.csv"):
        assert f"`{path.name}`" in described, f"{path.name} is missing in SOURCES.md"
        assert path.stat().st_size < 700_000


def test_no_two_options_of_a_verb_have_one_flag() -> None:
    group: Any = typer.main.get_command(application(VERBS))
    for name, command in group.commands.items():
        flags = [flag for option in command.params for flag in (*option.opts, *option.secondary_opts)]
        assert not {flag for flag in flags if flags.count(flag) > 1}, name
