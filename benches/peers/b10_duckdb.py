"""B10 by DuckDB: writes the records of B1 to a table with a primary key, durable in a database file."""

import sys
from pathlib import Path

import duckdb

import duckdb_rules
import said

source, output, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
clock = said.Clock()
db = duckdb.connect(output / "contacts.duckdb", config={"threads": threads})
db.execute(
    """create table contacts (
         address text primary key, name text not null, email text not null, interests json, record bigint)"""
)
db.execute("create table quarantine (n bigint, line text, fault text)")
duckdb_rules.checked(db, source)
db.execute("begin")
db.execute(
    """insert into contacts select address, name->>'$', email->>'$', interests, n
       from valid join winners using (n) where winners.opted_in and not in_conflict"""
)
db.execute("insert into quarantine select * from refused")
db.execute("commit")
db.execute("checkpoint")
counts = said.counts(db)
db.close()
db = duckdb.connect(output / "contacts.duckdb", read_only=True)
counts["saved"] = db.execute("select count(*) from contacts where address is not null").fetchone()[0]
clock.stop(duckdb.__version__, counts)
