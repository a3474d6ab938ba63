"""The output of a peer at its end: one line of JSON with its version, its seconds and its counts."""

import json
import time


class Clock:
    """Measures the work alone: it starts when Python and the libraries are loaded."""

    def __init__(self):
        self.began = time.perf_counter()

    def stop(self, version, counts):
        seconds = time.perf_counter() - self.began
        print(json.dumps({"version": version, "seconds": seconds, "counts": counts}))


def counts(db):
    """The counts from DuckDB's tables."""
    invalid = db.execute("select count(*) from refused").fetchone()[0]
    valid = db.execute("select count(*) from valid").fetchone()[0]
    addresses, saved, conflicts = db.execute(
        """select count(*), count(*) filter (opted_in and not in_conflict), count(*) filter (in_conflict)
           from winners"""
    ).fetchone()
    return {
        "received": valid + invalid,
        "saved": saved,
        "ignored": addresses - saved,
        "duplicate": valid - addresses,
        "invalid": invalid,
        "conflicts": conflicts,
    }
