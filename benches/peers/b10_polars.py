"""B10 by Polars, as closely as possible: writes the records of B1 to a Parquet file and syncs it. There is no index."""

import os
import sys
from pathlib import Path

import polars as pl

import polars_rules
import said

source, output = sys.argv[1], Path(sys.argv[2])
clock = said.Clock()
records, valid, winners = polars_rules.checked(source)
refused = records.lazy().filter(pl.col("fault").is_not_null()).select("n", "line", "fault")
for name, frame in [("contacts", polars_rules.saved(valid, winners)), ("quarantine", refused)]:
    path = output / f"{name}.parquet"
    frame.sink_parquet(path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
clock.stop(pl.__version__, polars_rules.counts(records, winners))
