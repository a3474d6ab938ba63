"""B1 by DuckDB, as strict as crmflow: every record is checked, a line that is not JSON is one invalid record."""

import sys
from pathlib import Path

import duckdb

import said
from duckdb_rules import checked

source, output, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
clock = said.Clock()
db = duckdb.connect(config={"threads": threads, "preserve_insertion_order": True})
checked(db, source)
counts = said.counts(db)
db.execute(
    f"""copy (select line from valid join winners using (at)
              where opted_in and not in_conflict order by at)
        to '{output}/opt-ins.ndjson' (format csv, header false, quote '', escape '', delimiter '\x01')"""
)
db.execute(f"copy (select * from refused) to '{output}/errors.ndjson' (format json)")
clock.stop(f"duckdb {duckdb.__version__}", counts)
