"""B1 by Polars, streaming."""

import sys
from pathlib import Path

import polars as pl

import polars_rules
import said

source, output = sys.argv[1], Path(sys.argv[2])
clock = said.Clock()
records, valid, winners = polars_rules.checked(source)
polars_rules.saved(valid, winners).sink_ndjson(output / "opt-ins.ndjson")
records.lazy().filter(pl.col("fault").is_not_null()).select("n", "line", "fault").sink_ndjson(
    output / "errors.ndjson"
)
clock.stop(pl.__version__, polars_rules.counts(records, winners))
