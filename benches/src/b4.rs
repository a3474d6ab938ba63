//! B4: the time to check one record, and the agreement of its two verdicts.

use std::{collections::HashSet, fmt, hint::black_box, time::Instant};

use contacts::{contact, email::EmailKey};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    error::Error,
    gate::Gate,
    generate::{Counts, Flaw, Plan, Role},
    report::{Spread, load},
};

/// Maximum time to check a record, in nanoseconds.
const TARGET_NANOS: [(&str, f64); 2] = [("a valid record", 400.0), ("a refused record", 1500.0)];

/// The results of the check.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The load average of the last minute.
    pub load: f64,
    /// Each way to check, with its nanoseconds a record.
    pub rows: Vec<(String, Spread)>,
    /// Number of records with compared verdicts.
    pub compared: u64,
}

/// The records of a plan: valid ones, and refused ones with their flaw.
struct Lines {
    valid: Vec<String>,
    refused: Vec<(Flaw, String)>,
}

/// Compares the verdicts, then measures the times.
pub fn run(plan: &Plan, rounds: usize) -> Result<Report, Error> {
    let compared = agree(plan)?;
    let lines = Lines::of(plan)?;
    let valid: Vec<&str> = lines.valid.iter().map(String::as_str).collect();
    let mut rows = vec![
        ("a valid record".to_owned(), time(rounds, &valid, |record| contact::check(record).is_ok())),
        ("a valid record by the schema alone".to_owned(), time(rounds, &valid, by_schema)),
    ];
    let refused: Vec<&str> = lines.refused.iter().map(|(_, record)| record.as_str()).collect();
    let refuse = |record: &str| contact::check(record).is_err();
    rows.push(("a refused record".to_owned(), time(rounds, &refused, refuse)));
    for flaw in Flaw::ALL {
        let these = lines.refused.iter().filter(|(its, _)| *its == flaw);
        let these: Vec<&str> = these.map(|(_, record)| record.as_str()).collect();
        rows.push((format!("refused: {flaw:?}"), time(rounds, &these, refuse)));
    }
    Ok(Report { load: load(), rows, compared })
}

impl Lines {
    fn of(plan: &Plan) -> Result<Self, Error> {
        let mut lines = Self { valid: Vec::new(), refused: Vec::new() };
        plan.walk(|index, line| {
            let record = String::from_utf8_lossy(line).trim_end().to_owned();
            match plan.role(index) {
                Role::Invalid { flaw, .. } => lines.refused.push((flaw, record)),
                Role::First | Role::Duplicate { .. } => lines.valid.push(record),
            }
            Ok(())
        })
        .map_err(Error::of("the records"))?;
        Ok(lines)
    }
}

/// Nanoseconds of `check` for one record, in each round over all records.
fn time(rounds: usize, records: &[&str], check: impl Fn(&str) -> bool) -> Spread {
    let passes = (200_000 / records.len().max(1)).max(1);
    Spread::of((0..rounds).map(|_| {
        let began = Instant::now();
        for record in std::iter::repeat_n(records, passes).flatten() {
            black_box(check(black_box(record)));
        }
        began.elapsed().as_nanos() as f64 / (records.len().max(1) * passes) as f64
    }))
}

/// Checks every record of a plan, and a damaged copy of each, in both ways. Returns the number of compared records.
pub fn agree(plan: &Plan) -> Result<u64, Error> {
    let (mut compared, mut failure) = (0, None);
    let mut counts = Counts::default();
    let oracle = plan.walk(|index, line| {
        let record = String::from_utf8_lossy(line).trim_end().to_owned();
        failure = failure.take().or_else(|| expected(plan, index, &record, &mut counts).err());
        for record in [damaged(&record, plan.opt_in(index), index), record] {
            compared += 1;
            if contact::check(&record).is_ok() != by_schema(&record) {
                failure = Some(Error::wrong("the check", format!("the verdicts differ on record {index}")));
            }
        }
        Ok(())
    });
    let right = oracle.map_err(Error::of("the records"))?.counts;
    if counts.invalid != right.invalid {
        return Err(Error::wrong("the check", format!("{counts:?}; {right:?} is right")));
    }
    failure.map_or(Ok(compared), Err)
}

/// Checks that a record passes, or is refused with the flaw of the generator.
fn expected(plan: &Plan, index: u64, record: &str, counts: &mut Counts) -> Result<(), Error> {
    let wrong = |why: String| Error::wrong("the check", format!("record {index}: {why}"));
    match (plan.role(index), contact::check(record)) {
        (Role::First | Role::Duplicate { .. }, Ok(_)) => Ok(()),
        (Role::Invalid { flaw, .. }, Err(faults)) => {
            counts.invalid += 1;
            let found: Vec<_> = faults.iter().map(|fault| (&*fault.rule, &*fault.pointer)).collect();
            let right = flaw.fault(plan, index);
            if found == [right] { Ok(()) } else { Err(wrong(format!("{found:?}; {right:?} is right"))) }
        }
        (role, checked) => {
            Err(wrong(format!("{role:?} gave {}", if checked.is_ok() { "ok" } else { "faults" })))
        }
    }
}

/// The schema's verdict, with two rules outside of the schema: different names, and a valid address.
fn by_schema(record: &str) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(record) else {
        return false;
    };
    contact::schema_faults(&value).is_empty()
        && value["email"].as_str().and_then(EmailKey::parse).is_some()
        && serde_json::from_str::<Unlike>(record).is_ok_and(|names| names.0)
}

/// The record with a damage that occurs in real files.
fn damaged(record: &str, opt_in: bool, index: u64) -> String {
    let (now, other) = if opt_in { ("true", "false") } else { ("false", "true") };
    match index % 8 {
        0 => record.replacen('{', &format!(r#"{{"optIn": {other}, "#), 1),
        1 => record.replacen(now, "1", 1),
        2 => record.replacen(now, "null", 1),
        3 => record.replacen(r#""name""#, r#""n\u0061me""#, 1),
        4 => record.replacen(r#""email""#, r#""Email""#, 1),
        5 => record.replacen('@', r"\u0040", 1),
        6 => record.replacen('[', "[7, ", 1),
        _ => format!("[{record}]"),
    }
}

/// Whether all names of an object differ.
struct Unlike(bool);

impl<'de> Deserialize<'de> for Unlike {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Unlike;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unlike, A::Error> {
                let (mut seen, mut unlike) = (HashSet::new(), true);
                while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                    unlike &= seen.insert(name);
                }
                Ok(Unlike(unlike))
            }
        }
        from.deserialize_map(V)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "B4: load average {:.2}; {} records have one verdict\n", self.load, self.compared)?;
        writeln!(f, "| what | ns, median (min-max) |\n|---|---|")?;
        for (name, Spread { median, min, max }) in &self.rows {
            writeln!(f, "| {name} | {median:.0} ({min:.0}-{max:.0}) |")?;
        }
        for (what, most) in TARGET_NANOS {
            if let Some((_, spread)) = self.rows.iter().find(|(name, _)| name == what) {
                writeln!(f, "\n{}", Gate::at_most(format!("{what}, ns"), spread.median, most))?;
            }
        }
        Ok(())
    }
}
