"""B1 by DuckDB, by the same rules as crmflow."""

import sys
from pathlib import Path

import duckdb

import duckdb_rules
import said

source, output, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
clock = said.Clock()
db = duckdb.connect(config={"threads": threads})
duckdb_rules.checked(db, source)
db.execute(
    f"""copy (select name, email, optIn, interests from valid join winners using (n)
              where winners.opted_in and not in_conflict order by n)
        to '{output}/opt-ins.ndjson' (format json)"""
)
db.execute(f"copy (select * from refused) to '{output}/errors.ndjson' (format json)")
clock.stop(duckdb.__version__, said.counts(db))
