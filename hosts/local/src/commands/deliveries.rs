//! `crmflow deliveries` and `crmflow destinations`: lists both, and replays failed deliveries.

use std::{fmt::Write, path::Path, process::ExitCode};

use delivery::{
    model::Attempt,
    query::{self, DeliveryView as Delivery, Filter, LaneView},
    redrive::{self, Redriven, Selection},
};
use destinations::destination::{Destination, DestinationView, State};
use kernel::{Name, store::Store};
use serde::Serialize;
use sqlite_store::SqliteStore;
use tracing::Level;

use crate::{
    cli::{Deliveries, Destinations, List, Replay},
    data_folder::{DataFolder, ReadOnlyFolder},
    exit::Exit,
    logs,
};

/// Maximum number of deliveries in one read or replay.
const PAGE_SIZE: usize = 1_000;

/// Runs one of the commands about deliveries.
pub(super) fn run(data: &Path, command: &Deliveries) -> Result<ExitCode, Exit> {
    match command {
        Deliveries::List(args) => list(data, args),
        Deliveries::Replay(args) => replay(data, args),
    }
}

fn list(data: &Path, args: &List) -> Result<ExitCode, Exit> {
    let store = SqliteStore::read_only(ReadOnlyFolder::open(data)?.readers);
    let filter =
        Filter { destination: args.destination.clone(), status: args.status, failure: args.error.clone() };
    let tenant = Name::default_tenant();
    super::block_on(async {
        let mut found: Vec<Delivery> = Vec::new();
        let mut page = None;
        while found.len() < args.limit {
            let room = PAGE_SIZE.min(args.limit - found.len());
            let more = query::list(&tenant, &filter, page.as_deref(), room, &store).await?;
            found.extend(more.deliveries);
            page = more.next;
            if page.is_none() {
                break;
            }
        }
        if args.json {
            super::print_json(&found)?;
        } else {
            super::print(&found.iter().map(line).collect::<String>());
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn line(delivery: &Delivery) -> String {
    let Delivery { message_id, destination, status, received_at, attempts, tries, .. } = delivery;
    let tried = attempts.as_ref().map_or(tries.unwrap_or(0) as usize, Vec::len);
    let mut text =
        format!("{message_id}  {destination}  {:<9}  {received_at:.0}  {tried} tries", status.name());
    // Writing to a string cannot fail.
    let _ = delivery.next_attempt_at.map(|next| write!(text, "  due {next:.0}"));
    let _ = delivery.reason.as_ref().map(|reason| write!(text, "  {reason}"));
    let _ = attempts.iter().flatten().last().and_then(answer).map(|answer| write!(text, "  {answer}"));
    text.push('\n');
    text
}

fn answer(attempt: &Attempt) -> Option<String> {
    attempt.status.map(|status| status.to_string()).or_else(|| attempt.error.clone())
}

fn replay(data: &Path, args: &Replay) -> Result<ExitCode, Exit> {
    let tenant = Name::default_tenant();
    let done = if args.dry_run {
        let store = SqliteStore::read_only(ReadOnlyFolder::open(data)?.readers);
        super::block_on(async {
            let (_, selection) = select(&tenant, args, &store).await?;
            Ok(redrive::count(&tenant, &selection, &store).await?)
        })?
    } else {
        let folder = DataFolder::open(data, "deliveries replay")
            .map_err(|exit| exit.and("while `crmflow serve` runs, use POST /deliveries/replay"))?;
        logs::start(&folder.paths.logs(), Level::WARN);
        let host = &folder.host;
        super::block_on(async {
            let (state, selection) = select(&tenant, args, &host.store).await?;
            if state == State::Disabled {
                return Err(Exit::failed(format!(
                    "{} is disabled, so crmflow sends nothing to it",
                    args.destination
                )));
            }
            Ok(redrive::redrive(&tenant, &selection, &host.store, &host.queue).await?)
        })?
    };
    if args.json {
        super::print_json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Redriven { matched, replayed, .. } = done;
    let (matched, replayed) = (super::grouped(matched as u64), super::grouped(replayed as u64));
    super::print(&if args.dry_run {
        format!("{matched} failed deliveries would be sent again\n")
    } else {
        format!(
            "{matched} failed deliveries are selected; {replayed} are queued, and `crmflow serve` sends them\n"
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// The destination, and the selected deliveries.
async fn select(tenant: &Name, args: &Replay, store: &impl Store) -> Result<(State, Selection), Exit> {
    let name = &args.destination;
    let stored = Destination::find(tenant, name, store).await?;
    let stored = stored.ok_or_else(|| Exit::usage(format!("there is no destination {name}")))?;
    let state = stored.destination.state;
    let selection = Selection {
        destination: stored.destination,
        since: args.since,
        failure: args.error.clone(),
        limit: usize::MAX,
    };
    Ok((state, selection))
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    destination: DestinationView,
    lane: LaneView,
}

/// Runs the command about destinations.
pub(super) fn destinations(data: &Path, command: &Destinations) -> Result<ExitCode, Exit> {
    let Destinations::List { json } = command;
    let store = SqliteStore::read_only(ReadOnlyFolder::open(data)?.readers);
    let tenant = Name::default_tenant();
    super::block_on(async {
        let mut listed = Vec::new();
        for stored in Destination::all(&tenant, &store).await? {
            let lane = LaneView::read(&tenant, &stored.destination, &store).await?;
            listed.push(Listed { destination: stored.destination.into(), lane });
        }
        if *json {
            super::print_json(&listed)?;
        } else {
            super::print(&listed.iter().map(described).collect::<String>());
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn described(Listed { destination, lane }: &Listed) -> String {
    let DestinationView { destination_name, state, url, reason, .. } = destination;
    let more = if lane.more { "more than " } else { "" };
    let oldest = lane.oldest_received_at.map(|oldest| format!(" since {oldest:.0}")).unwrap_or_default();
    let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "{destination_name}  {}{why}  {more}{} wait{oldest}  {}\n",
        state.name(),
        super::grouped(lane.waiting as u64),
        printable(url)
    )
}

/// A text for a terminal, without control characters.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_are_shown_escaped() {
        assert_eq!(printable("http://a/\u{1b}[31m\r\né?b='c'"), r"http://a/\u{1b}[31m\r\né?b='c'");
    }
}
