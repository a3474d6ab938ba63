"""crmflow's rules in Polars, as far as its streaming engine supports them.

A line that is not JSON fails the whole query, so the script detects such lines by their last character. That suffices for
these record sets only. Polars converts a number or a string to the type of its column, so records of a wrong type pass.
"""

import polars as pl

FIELDS = pl.Struct({"name": pl.String, "email": pl.String, "optIn": pl.String, "interests": pl.List(pl.String)})
LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
ADDRESS = r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@" + LABEL + r"(?:\." + LABEL + ")*$"


def checked(source):
    """The records with their faults, the valid ones, and the winner of each address."""
    lines = pl.scan_lines(source, row_index_name="n")
    is_json = pl.col("line").str.ends_with("}")
    records = (
        lines.with_columns(pl.when(is_json).then(pl.col("line")).str.json_decode(FIELDS).alias("record"))
        .unnest("record")
        .with_columns(address=pl.col("email").str.strip_chars().str.to_lowercase())
        .with_columns(
            fault=pl.when(~is_json).then(pl.lit("json"))
            .when(pl.col("name").is_null()).then(pl.lit("required /name"))
            .when(pl.col("email").is_null()).then(pl.lit("required /email"))
            .when(pl.col("optIn").is_null()).then(pl.lit("required /optIn"))
            .when(~pl.col("optIn").is_in(["true", "false"])).then(pl.lit("type /optIn"))
            .when(pl.col("interests").list.len() == 0).then(pl.lit("minItems /interests"))
            .when(~pl.col("address").str.contains(ADDRESS)).then(pl.lit("email /email"))
        )
        .with_columns(optIn=pl.col("optIn") == "true", line=pl.when(pl.col("fault").is_not_null()).then("line"))
        .collect(engine="streaming")
    )
    valid = records.lazy().filter(pl.col("fault").is_null())
    winners = (
        valid.group_by("address")
        .agg(n=pl.col("n").min(), all=pl.col("optIn").all(), any=pl.col("optIn").any())
        .collect(engine="streaming")
    )
    return records, valid, winners


def saved(valid, winners):
    """The opted-in winners, in order."""
    kept = winners.filter("all")["n"]
    return valid.filter(pl.col("n").is_in(kept.implode())).select("name", "email", "optIn", "interests")


def counts(records, winners):
    """The counts."""
    invalid = len(records) - records["fault"].null_count()
    kept = winners["all"].sum()
    return {
        "received": len(records),
        "saved": kept,
        "ignored": len(winners) - kept,
        "duplicate": len(records) - invalid - len(winners),
        "invalid": invalid,
        "conflicts": (winners["any"] & ~winners["all"]).sum(),
    }
