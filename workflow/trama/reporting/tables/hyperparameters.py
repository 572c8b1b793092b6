"""The hyperparameters of the study, as its jobs used them."""

import pandas as pd

from trama.config.table_params import TableParams
from trama.reporting.statistics import Inputs
from trama.reporting.tables.table import Table


def hyperparameters(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table of hyperparameters.

    Args:
        inputs: the files that were made with them; they are not read.
        params: of the table, with `hyperparameters`.
        study: its name.
    """
    records = [
        (h.section, h.key, variant, value, h.published)
        for h in params.hyperparameters
        for variant, value in h.values.items()
    ]
    rows = []
    for h in params.hyperparameters:
        for value in dict.fromkeys(h.values.values()):
            variants = [name for name, own in h.values.items() if own == value]
            words = "all" if len(variants) == len(params.names) else ", ".join(variants)
            rows.append([h.section, h.key, h.published or "", value, words])
    columns = ["section", "key", "variant", "value", "published"]
    return Table(
        title=f"Study {study}: hyperparameters",
        caption=[
            "Every key of the configuration that results depend on, tasks and seeds apart: its "
            "published value where there is one, the value that was used, and the variants whose "
            "jobs used it. ``variant`` and ``representation`` stand for the definition of one."
        ],
        header=["Section", "Key", "Published", "Used", "Variants"],
        align="llrrw",
        rows=rows,
        tidy=pd.DataFrame(records, columns=columns),
        shown="none; the files are what was made with these values",
    )
