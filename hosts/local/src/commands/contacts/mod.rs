//! `crmflow contacts`: lists contacts by their consent, and shows the history of each.

mod parquet;

use std::{fmt::Write as _, io::Write as _, path::Path, process::ExitCode};

use contacts::{
    email::EmailKey,
    export::{self, Column, CsvOptions},
    query::{self, Filter, Page},
    statement::{ContactWithHistory, Statement},
    stored::{self, OptIn, Stored},
};
use kernel::Name;
use sqlite_store::SqliteStore;

use self::parquet::ParquetExport;
use super::output::{Output, failed, shown};
use crate::{
    cli::{ContactFormat, Contacts, To},
    data_folder::ReadOnlyFolder,
    exit::Exit,
};

/// Number of contacts in one page of an export.
const PAGE_CONTACTS: usize = 1000;

/// Runs one of these commands, also while a server uses the folder.
pub(super) fn run(data: &Path, args: &Contacts) -> Result<ExitCode, Exit> {
    let store = SqliteStore::read_only(ReadOnlyFolder::open(data)?.readers);
    super::block_on(async {
        match args {
            Contacts::List { selection, limit, json } => {
                list(&store, &selection.filter(), *limit, *json).await
            }
            Contacts::Show { address, json } => show(&store, address, *json).await,
            Contacts::Export { selection, to, columns, format } => {
                let format = ContactFormat::of(*format, to);
                if !columns.is_empty() && format != ContactFormat::Csv {
                    return Err(Exit::usage(
                        "--columns selects the columns of CSV; other formats have all fields",
                    ));
                }
                let columns = columns.iter().map(|name| Column::from_name(name.trim())).collect();
                let export = Export::new(format, CsvOptions::new(columns, to.raw), to)?;
                super::output::until_stopped(write(&store, &selection.filter(), export)).await
            }
        }
    })
}

async fn list(store: &SqliteStore, filter: &Filter, limit: usize, json: bool) -> Result<ExitCode, Exit> {
    let (tenant, mut after, mut found) = (Name::default_tenant(), None, Vec::new());
    loop {
        let rest = limit - found.len();
        let Page { contacts, next } = query::list(store, &tenant, filter, after.as_deref(), rest).await?;
        found.extend(contacts);
        after = next;
        if found.len() == limit || after.is_none() {
            break;
        }
    }
    if json {
        let all = found.into_iter().map(|(_, stored)| Statement::new(stored.statement));
        super::print_json(&all.collect::<Result<Vec<_>, _>>()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (_, Stored { statement, .. }) in &found {
        text.push_str(&line(statement));
    }
    if after.is_some() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "... more: --limit, or `crmflow contacts export`");
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

fn line(statement: &OptIn) -> String {
    let OptIn { name, email, opt_in, since, source, batch_id, index, late, .. } = statement;
    let status = if *opt_in { "opted in " } else { "opted out" };
    let late = if *late { "  late" } else { "" };
    format!(
        "{since:.3}  {status}  {}  {}  by {source}, {batch_id}/{index}{late}\n",
        shown(email),
        shown(name)
    )
}

async fn show(store: &SqliteStore, address: &EmailKey, json: bool) -> Result<ExitCode, Exit> {
    let found = stored::find(store, &Name::default_tenant(), address.as_str()).await?;
    let Some(history) = found else {
        return Err(Exit::failed(
            "there is no contact with this address; crmflow stores only contacts who opted in at least once",
        ));
    };
    if json {
        super::print_json(&ContactWithHistory::new(address.as_str(), history)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let current = &history.current.statement;
    let mut text = format!("{}\n", shown(&current.email));
    let interests = current.interests.as_ref().map(|all| all.join("; "));
    let status = if current.opt_in { "opted in" } else { "opted out" };
    for (name, value) in [
        ("name", Some(current.name.as_str())),
        ("status", Some(status)),
        ("interests", interests.as_deref()),
        ("other fields", current.extra.as_deref()),
    ] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<12}  {}", shown(value));
        }
    }
    text.push_str("history\n");
    for Stored { statement, .. } in history.past.iter().chain([&history.current]) {
        let _ = write!(text, "  {}", line(statement));
    }
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

async fn write(store: &SqliteStore, filter: &Filter, mut export: Export) -> Result<ExitCode, Exit> {
    let (tenant, mut after) = (Name::default_tenant(), None);
    loop {
        let page = query::list(store, &tenant, filter, after.as_deref(), PAGE_CONTACTS).await?;
        after.clone_from(&page.next);
        export.push(page)?;
        if after.is_none() {
            break;
        }
    }
    export.finish()
}

/// An export that is being written.
enum Export {
    Text { output: Output, format: ContactFormat, options: CsvOptions, guarded: u64, buffer: Vec<u8> },
    Parquet(ParquetExport),
}

impl Export {
    fn new(format: ContactFormat, options: CsvOptions, to: &To) -> Result<Self, Exit> {
        let output = Output::open(to.output.as_deref())?;
        if format == ContactFormat::Parquet {
            return Ok(Self::Parquet(ParquetExport::new(output)?));
        }
        let mut buffer = Vec::new();
        if format == ContactFormat::Csv {
            export::csv_header(&options, &mut buffer);
        }
        Ok(Self::Text { output, format, options, guarded: 0, buffer })
    }

    fn push(&mut self, page: Page) -> Result<(), Exit> {
        match self {
            Self::Parquet(parquet) => parquet.push(page),
            Self::Text { output, format, options, guarded, buffer } => {
                match format {
                    ContactFormat::Ndjson => export::ndjson(page, buffer)?,
                    _ => *guarded += export::csv_rows(&page, options, buffer)?,
                }
                output.write_all(buffer).map_err(|error| failed(&error))?;
                buffer.clear();
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<ExitCode, Exit> {
        match self {
            Self::Parquet(parquet) => parquet.finish()?,
            Self::Text { output, guarded, .. } => {
                output.finish()?;
                super::output::note_guarded(guarded);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
