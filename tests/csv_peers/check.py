"""CSV files with one damaged quote: no row that is not damaged may be missing, and a file without damage reads as it does
elsewhere. What Python's and DuckDB's strict readers make of the same files is printed beside it.

Arguments: the program, and how many files (200), from which seed on (1)."""

import csv
import io
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import duckdb

COLUMNS = ["name", "email", "optIn", "city", "note"]
TEXTS = ["Ann", "Æsa, of Bergen", 'the "old" house', "two\nlines", "", "5\" nail", "Łódź", "x" * 300, "a\\b"]
DAMAGES = {
    "insert": lambda front, behind: front + '"' + behind,
    "remove": lambda front, behind: front + behind[1:],
    "double": lambda front, behind: front + '"' + behind,
    "typographic": lambda front, behind: front + "”" + behind[1:],
    "backslash": lambda front, behind: front + "\\" + behind,
}


def write(rows):
    """The text of rows, and where each ends."""
    out, ends = io.StringIO(), []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(row)
        ends.append(out.tell())
    return out.getvalue(), ends


def damage(text, draw):
    """The text with one quote damaged behind its header, and where."""
    kind = draw.choice(list(DAMAGES))
    begin = text.index("\n") + 1
    places = range(begin, len(text)) if kind == "insert" else [at for at in range(begin, len(text)) if text[at] == '"']
    if not places:
        return None
    at = draw.choice(places)
    return DAMAGES[kind](text[:at], text[at:]), at, kind


def by_crmflow(program, folder, file):
    """What is stored of each address."""
    data = folder / "data"
    command = [program, "--data", data, "process", "--json", file]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if ended.returncode not in (0, 1):
        raise AssertionError(f"exit code {ended.returncode}: {ended.stderr}")
    summary = json.loads(ended.stdout)
    assert sum(summary["outcomes"].values()) == summary["received"], summary
    with sqlite3.connect(data / "crmflow.db") as store:
        stored = store.execute("SELECT address, name, extra FROM contacts").fetchall()
    store.close()
    extras = {address: json.loads(extra or "{}") for address, _, extra in stored}
    return {
        address: (name, extras[address].get("city", ""), extras[address].get("note", ""))
        for address, name, _ in stored
    }


def by_python(text):
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]
    except csv.Error:
        return None


def by_duckdb(file):
    types = "{" + ", ".join(f"'{column}': 'VARCHAR'" for column in COLUMNS) + "}"
    query = f"""SELECT * FROM read_csv(?, columns = {types}, header = true, auto_detect = false, delim = ',',
        quote = '"', escape = '"', strict_mode = true, null_padding = false)"""
    try:
        return [[cell or "" for cell in row] for row in duckdb.sql(query, params=[str(file)]).fetchall()]
    except duckdb.Error:
        return None


def main(program, count="200", first="1"):
    found = {"crmflow": Counter(), "Python": Counter(), "DuckDB": Counter()}
    for seed in range(int(first), int(first) + int(count)):
        draw = random.Random(seed)
        rows = [
            ["N" + draw.choice(TEXTS), f"n{at}@peers.example", "true", draw.choice(TEXTS), draw.choice(TEXTS)]
            for at in range(draw.randint(1, 12))
        ]
        sound, ends = write(rows)
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            file = folder / "file.csv"
            file.write_text(sound, encoding="utf-8", newline="")
            whole = {row[1]: (row[0], row[3], row[4]) for row in rows}
            assert by_python(sound) == rows and by_duckdb(file) == rows, f"seed {seed}: the peers read it otherwise"
            assert by_crmflow(program, folder, file) == whole, f"seed {seed}: a file without damage is read otherwise"
        hit = damage(sound, draw)
        if hit is None:
            continue
        text, at, kind = hit
        hurt = next(number for number, end in enumerate(ends) if at < end)
        others = [row for number, row in enumerate(rows) if number != hurt]
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            file = folder / "file.csv"
            file.write_text(text, encoding="utf-8", newline="")
            stored = by_crmflow(program, folder, file)
            for row in others:
                assert stored.get(row[1]) == (row[0], row[3], row[4]), (
                    f"seed {seed}, {kind} at {at}: row {rows.index(row) + 1} is missing or changed\n{text}"
                )
            found["crmflow"]["all other rows"] += 1
            for name, read in [("Python", by_python(text)), ("DuckDB", by_duckdb(file))]:
                if read is None:
                    found[name]["refused the file"] += 1
                elif all(row in read for row in others):
                    found[name]["all other rows"] += 1
                else:
                    found[name]["lost other rows without an error"] += 1
    for name, counts in found.items():
        print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
