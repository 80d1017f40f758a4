"""Coverage-guided fuzzing of the reader with atheris: ``make fuzz-guided``.

    python tests/fuzz/reader.py [options of libFuzzer] [folder for what it finds]

The golden files are the seeds. Any bytes must give a reading or an error with a remedy, in less than five seconds and a
gigabyte; a finding is written to the current folder and belongs among the golden files once it is mended.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lstmcast.data"]):
    from lstmcast.config import ReaderSettings
    from lstmcast.data import roads
    from lstmcast.data.reader import examine
    from lstmcast.errors import UsageError

SEEDS = Path(__file__).parents[1] / "golden" / "messy"
FLAGS = (
    {},
    {"wide": True},
    {"tz": "Europe/Berlin"},
    {"duplicates": "mean", "gaps": "zero"},
    {"resample": "D"},
    {"decimal": ","},
    {"skip_rows": 1},
    {"encoding": "cp1252"},
)


def target(path: Path, data: bytes) -> None:
    """The first byte chooses flags and road, the others are the file."""
    choice = data[0] if data else 0
    roads.LARGE = 0 if choice % 2 else 10**9
    path.write_bytes(data[1:])
    try:
        found = examine([str(path)], ReaderSettings.model_validate(FLAGS[choice // 2 % len(FLAGS)]))
    except UsageError:
        return
    if found.reading is None:
        errors = [finding for finding in found.findings if finding.severity == "error"]
        if not errors or not all(finding.fix for finding in errors):
            raise AssertionError("refused without a remedy")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(sorted(SEEDS.glob("*.csv"))):
            (corpus / seed.stem).write_bytes(bytes([number % (2 * len(FLAGS))]) + seed.read_bytes()[:4_000])
        path = Path(folder) / "file.csv"
        limits = ["-timeout=5", "-rss_limit_mb=1024", "-max_len=4096"]
        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], str(corpus)], lambda data: target(path, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
