"""Write the sample files again: ``python sample_data/make_samples.py [FOLDER]``.

Every figure that is not measured comes from a seed, so the files are the same bytes each time. The monthly series is
taken from statsmodels, which ``lstmcast[baselines]`` installs; the rest needs numpy alone.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

HOUR = timedelta(hours=1)
Series = NDArray[np.float64]

# shop: (level at night in kWh, further load while open, opens, closes, share of the load on a Sunday, kWh per warm
# degree, growth over the whole file)
SHOPS = {
    "bakery": (4.0, 14.0, 4, 15, 0.55, 0.30, 0.04),
    "bookshop": (1.5, 5.0, 9, 19, 0.0, 0.12, -0.06),
    "florist": (3.0, 4.5, 8, 18, 0.40, 0.22, 0.10),
    "grocer": (28.0, 30.0, 7, 21, 0.25, 1.30, 0.02),
    "pharmacy": (6.0, 9.0, 8, 19, 0.15, 0.45, 0.0),
}
SHOPS_START = datetime(2024, 4, 29)
SHOPS_DAYS = 150

# shop, kind, first day and hour of the file, hours it lasts
ANOMALIES = (
    ("bakery", "spike", 61, 22, 1),
    ("bakery", "flat", 88, 6, 30),
    ("bakery", "missed_season", 109, 0, 24),
    ("bookshop", "spike", 73, 13, 2),
    ("bookshop", "level_shift", 101, 0, 72),
    ("florist", "dip", 57, 11, 3),
    ("florist", "flat", 95, 9, 24),
    ("grocer", "missed_season", 72, 0, 24),
    ("grocer", "spike", 84, 3, 1),
    ("grocer", "level_shift", 112, 0, 60),
    ("pharmacy", "dip", 66, 15, 2),
    ("pharmacy", "level_shift", 90, 0, 72),
)

BERLIN = ZoneInfo("Europe/Berlin")
HEATING_START = datetime(2023, 9, 15, tzinfo=UTC)
HEATING_HOURS = 2040
HEATING_GAPS = {150: 1, 402: 3, 760: 9, 1391: 30, 1720: 2}  # first absent hour: hours absent
HEATING_MISSING = {88: "", 89: "", 333: "n/a", 334: "n/a", 900: "-", 1250: "NA", 1500: "", 1933: "n/a"}
HEATING_TWICE = 1102


def sea_temperature() -> str:
    """Monthly sea surface temperature, region Niño 1+2, 1950 to 2010 (see SOURCES.md)."""
    from statsmodels.datasets import elnino

    years = elnino.load_pandas().data.set_index("YEAR")
    lines = ["month,sea_temperature"]
    for year, row in years.iterrows():
        lines += [f"{int(year)}-{month:02d},{value:.2f}" for month, value in enumerate(row, start=1)]
    return "\n".join(lines) + "\n"


def shops() -> tuple[str, str]:
    """Hourly electricity of five shops with the outdoor temperature at each, and the labels of what went wrong."""
    rng = np.random.default_rng(20240429)
    hours = np.arange(SHOPS_DAYS * 24)
    weather = _weather(hours, rng)
    rows, labels = ["shop,time,kwh,temperature"], ["unique_id,start,end,kind"]
    for shop in SHOPS:
        temperature = weather + _smooth_noise(len(hours), 0.9, 0.35, rng)
        load = _plant(shop, _shop_load(shop, hours, temperature, rng))
        rows += [
            f"{shop},{_wall(hour)},{kwh:.2f},{degrees:.1f}"
            for hour, kwh, degrees in zip(hours, load, temperature, strict=True)
        ]
    for shop, kind, day, hour, length in ANOMALIES:
        first = day * 24 + hour
        labels.append(f"{shop},{_wall(first)},{_wall(first + length - 1)},{kind}")
    return "\n".join(rows) + "\n", "\n".join(labels) + "\n"


def heating_export() -> bytes:
    """An export as a German heating meter gives it: see SOURCES.md for everything that is odd about it."""
    rng = np.random.default_rng(20231029)
    hours = np.arange(HEATING_HOURS)
    cooling = np.linspace(0.0, 14.0, HEATING_HOURS) + _smooth_noise(HEATING_HOURS, 0.98, 0.5, rng)
    local = [(HEATING_START + int(hour) * HOUR).astimezone(BERLIN) for hour in hours]
    day = np.array([1.0 if 6 <= time.hour <= 21 else 0.55 for time in local])
    morning = np.array([1.25 if 6 <= time.hour <= 8 else 1.0 for time in local])
    demand = (140.0 + 22.0 * cooling) * day * morning + rng.normal(0.0, 9.0, HEATING_HOURS)
    absent = {hour + step for hour, length in HEATING_GAPS.items() for step in range(length)}
    lines = []
    for hour in hours:
        if int(hour) in absent:
            continue
        value = HEATING_MISSING.get(int(hour), f"{max(demand[hour], 20.0):.1f}".replace(".", ","))
        lines += [f"{local[hour]:%d.%m.%Y %H:%M};{value}"] * (2 if hour == HEATING_TWICE else 1)
    text = "\r\n".join(["Zeitpunkt;Fernwärme kWh", *reversed(lines)]) + "\r\n"
    return text.encode("utf-8-sig")


def _weather(hours: NDArray[np.int64], rng: np.random.Generator) -> Series:
    day = hours / 24.0
    season = 13.0 + 8.0 * np.sin(2 * np.pi * (day + 4.0) / 300.0)
    daily = 4.5 * np.sin(2 * np.pi * (hours % 24 - 9.0) / 24.0)
    return season + daily + _smooth_noise(len(hours), 0.985, 0.55, rng)


def _smooth_noise(count: int, memory: float, spread: float, rng: np.random.Generator) -> Series:
    noise = rng.normal(0.0, spread, count)
    for index in range(1, count):
        noise[index] += memory * noise[index - 1]
    return noise


def _shop_load(shop: str, hours: NDArray[np.int64], temperature: Series, rng: np.random.Generator) -> Series:
    night, opened, opens, closes, sunday, per_degree, growth = SHOPS[shop]
    clock, weekday = hours % 24, (hours // 24) % 7
    edge = 1 / (1 + np.exp(-2.0 * (clock - opens + 0.5))) - 1 / (1 + np.exp(-2.0 * (clock - closes + 0.5)))
    share = np.select([weekday == 6, weekday == 5, weekday == 4], [sunday, 0.8, 1.1], 1.0)
    cooling = per_degree * np.maximum(temperature - 15.0, 0.0) * (0.5 + 0.5 * edge)
    trend = 1 + growth * hours / hours[-1]
    noise = 1 + _smooth_noise(len(hours), 0.5, 0.03, rng)
    return (night + opened * edge * share + cooling) * trend * noise


def _plant(shop: str, load: Series) -> Series:
    planted = load.copy()
    night, opened, *_ = SHOPS[shop]
    for _, kind, day, hour, length in (row for row in ANOMALIES if row[0] == shop):
        here = slice(day * 24 + hour, day * 24 + hour + length)
        if kind == "spike":
            planted[here] += 1.6 * opened
        elif kind == "dip":
            planted[here] *= 0.15
        elif kind == "flat":
            planted[here] = planted[here.start]
        elif kind == "level_shift":
            planted[here] += 0.6 * (night + opened)
        else:
            planted[here] = load[here.start : here.start + 3].mean() * (1 + 0.3 * (load[here] / load[here].mean() - 1))
    return planted


def _wall(hour: int | np.int64) -> str:
    return f"{SHOPS_START + int(hour) * HOUR:%Y-%m-%d %H:%M}"


def main(folder: Path) -> None:
    panel, labels = shops()
    (folder / "shops_hourly.csv").write_text(panel, encoding="utf-8", newline="\n")
    (folder / "shops_anomalies.csv").write_text(labels, encoding="utf-8", newline="\n")
    (folder / "heating_export.csv").write_bytes(heating_export())
    (folder / "sea_temperature.csv").write_text(sea_temperature(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
