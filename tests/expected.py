"""Numbers of a made-up study's tables, computed again from its rows in another way."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from made_up_study import study_config
from trama.config.model import Config, Tables
from trama.config.table_params import TableParams
from trama.data.parquet import read_table
from trama.reporting.tables.table import Table

VARIANTS = ("qmix", "qplex", "trama", "trama_oracle")
TASK_SETS = ("one_changed", "fewer_allies")
ROUNDED = 0.005 + 1e-9
"""What two decimals may be off."""

TWO_SEEDS = TableParams(
    upstream={}, sources="", names=("qmix", "trama"), seeds=(0, 1), tables=Tables()
)


def four_variants(**study: object) -> Config:
    """A study of four variants and four seeds, unless `study` says another."""
    keys = {"name": "made_up", "variants": list(VARIANTS), "seeds": [0, 1, 2, 3], **study}
    return study_config(study=keys, evaluate={"task_sets": list(TASK_SETS)})


def last_episodes(study: Path, problem: str) -> pd.DataFrame:
    """All episodes of the last policies of a problem."""
    files = study.glob(f"{problem}/evaluate/*/*/episodes.parquet")
    episodes = pd.concat([read_table(file, "episodes").to_pandas() for file in files])
    episodes = episodes.rename(columns={"won": "win_rate", "episode_return": "return"})
    return episodes[episodes["policy"] == "last"]


def runs_of(episodes: pd.DataFrame, variant: str, metric: str) -> np.ndarray:
    """Scores [seeds, tasks] of a variant."""
    own = episodes[episodes["variant"] == variant]
    return own.pivot_table(metric, "seed", ["problem", "task"]).to_numpy(float)


def middle_half(scores: np.ndarray) -> float:
    ordered = np.sort(scores.ravel())
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())


def resampled_iqm(scores: np.ndarray, n: int = 4000, n_tasks: Sequence[int] = ()) -> np.ndarray:
    """IQM of scores, seeds drawn anew n times; of problems with so many tasks by themselves."""
    rng = np.random.default_rng(7)
    of_problems = np.split(scores, np.cumsum(n_tasks)[:-1].astype(int), axis=1)
    drawn = [of[rng.integers(len(of), size=(n, len(of)))] for of in of_problems]
    return np.array([middle_half(each) for each in np.concatenate(drawn, axis=-1)])


def ends(resampled: np.ndarray) -> list[float]:
    """Ends of the interval of four seeds: t of three degrees is 3.182, times sqrt(4 / 3)."""
    return np.quantile(resampled, [0.0001, 0.9999]).tolist()


def csv_of(table: Table) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(table.csv("")))


def where(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Rows that have these values."""
    for column, value in values.items():
        frame = frame[frame[column] == value]
    return frame


def row_of(table: Table, *names: str) -> list[str]:
    (row,) = (row for row in table.rows if list(row[: len(names)]) == list(names))
    return list(row[len(names) :])


def number(cell: str) -> float:
    return float(cell.split()[0])
