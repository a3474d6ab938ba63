//! `crmflow queues`: lists the queues of the template and their messages; pauses and redrives them.

use std::{
    fmt::Write,
    fs::{self, File},
    io,
    path::Path,
    process::ExitCode,
};

use serde_json::{Value, json};
use sqlite_store::queues::{self, Depth, Waiting};
use step_functions::clock;
use template::{Queue, Template};

use crate::{
    cli::Queues,
    data_folder::{DataFolder, Paths, ReadOnlyFolder},
    exit::Exit,
    requests::{self, Request},
};

/// Runs one of these commands.
pub(super) fn run(data: &Path, file: Option<&Path>, command: &Queues) -> Result<ExitCode, Exit> {
    let template = super::template(file)?;
    let readers = ReadOnlyFolder::open(data)?.readers;
    let paths = Paths::new(data);
    match command {
        Queues::List { json } => {
            let names = template.queues.into_iter().map(|queue| queue.name);
            let depths = names.map(|name| {
                let is_paused = paths.paused(&name).exists();
                Ok((queues::depth(&readers, &name, clock::now())?, is_paused, name))
            });
            list(&depths.collect::<Result<Vec<_>, Exit>>()?, *json)?;
        }
        Queues::Show { queue, limit, json } => {
            show(&queues::oldest(&readers, &find(&template, queue)?.name, *limit)?, *json)?;
        }
        Queues::Pause { queue } => pause(&paths, &fed(&template, queue)?.name)?,
        Queues::Resume { queue } => resume(&paths, &fed(&template, queue)?.name)?,
        Queues::Redrive { queue, to } => redrive(data, file, queue, to.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The queue with this name.
fn find<'t>(template: &'t Template, name: &str) -> Result<&'t Queue, Exit> {
    let found = template.queue_named(name);
    found.ok_or_else(|| Exit::usage(format!("the template has no queue {name}")))
}

/// The queue with this name, which feeds a function.
fn fed<'t>(template: &'t Template, name: &str) -> Result<&'t Queue, Exit> {
    let queue = find(template, name)?;
    if template.mappings.iter().any(|mapping| mapping.queue.name == queue.name) {
        Ok(queue)
    } else {
        Err(Exit::usage(format!("no function receives from {name}")))
    }
}

fn pause(paths: &Paths, queue: &str) -> Result<(), Exit> {
    let file = paths.paused(queue);
    let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
    let made = folder.and_then(|()| File::create(&file)).and_then(|file| file.sync_all());
    made.map_err(|error| Exit::failed(format!("{}: {error}", file.display())))?;
    super::print(&format!("{queue} is paused: it accepts messages, and no function receives them\n"));
    Ok(())
}

fn resume(paths: &Paths, queue: &str) -> Result<(), Exit> {
    let file = paths.paused(queue);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Exit::failed(format!("{}: {error}", file.display())))
        }
        _ => {
            super::print(&format!("{queue} is not paused\n"));
            Ok(())
        }
    }
}

/// Sends the messages of a dead letter queue back. A running server does it itself, because it has the sizes of its
/// queues in memory.
fn redrive(data: &Path, template: Option<&Path>, from: &str, to: Option<&str>) -> Result<(), Exit> {
    let template = super::template(template)?;
    let from = find(&template, from)?;
    let to = match to {
        Some(to) => find(&template, to)?,
        None => {
            let is_source = |queue: &&Queue| {
                queue.redrive.as_ref().is_some_and(|redrive| redrive.dead_letters == from.name)
            };
            let mut sources = template.queues.iter().filter(is_source);
            match (sources.next(), sources.next()) {
                (Some(source), None) => source,
                _ => {
                    let name = &from.name;
                    return Err(Exit::usage(format!(
                        "{name} is the dead letter queue of no single queue; name a target with --to"
                    )));
                }
            }
        }
    };
    if from.name == to.name {
        return Err(Exit::usage(format!("{} cannot be its own target", from.name)));
    }
    let (from, to) = (from.name.clone(), to.name.clone());
    let said = match DataFolder::open_unless_served(data, "queues redrive")? {
        Some(folder) => {
            let flow = super::flow(&folder, template);
            super::block_on(requests::redrive(&flow, &from, &to))?
        }
        None => requests::ask(&Paths::new(data), &Request::Redrive { from, to })?,
    };
    super::print(&format!("{said}\n"));
    Ok(())
}

fn list(queues: &[(Depth, bool, String)], json: bool) -> Result<(), Exit> {
    if json {
        let described = queues.iter().map(|(depth, is_paused, name)| {
            let Depth { messages, delayed, in_flight, oldest, limit } = depth;
            json!({
                "queue": name, "messages": messages, "delayed": delayed, "inFlight": in_flight,
                "oldest": oldest, "limit": limit, "paused": is_paused,
            })
        });
        return super::print_json(&described.collect::<Vec<_>>());
    }
    let mut text = String::new();
    for (Depth { messages, delayed, in_flight, oldest, limit }, is_paused, name) in queues {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:>9} messages, {delayed} delayed  {name}", super::grouped(*messages));
        let _ = oldest.map(|oldest| write!(text, "  oldest {oldest:.3}"));
        if *in_flight > 0 {
            let _ = write!(text, "  {} in flight", super::grouped(*in_flight));
        }
        let _ = limit.map(|limit| write!(text, "  takes {}", super::grouped(limit)));
        text.push_str(if *is_paused { "  paused\n" } else { "\n" });
    }
    super::print(&text);
    Ok(())
}

fn show(messages: &[Waiting], json: bool) -> Result<(), Exit> {
    if json {
        return super::print_json(&messages.iter().map(describe).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for Waiting { id, body, sent_at, history, .. } in messages {
        let told = history.describe().map(|told| format!("  {told}")).unwrap_or_default();
        let _ = writeln!(text, "{id}  {sent_at:.3}{told}\n{body}\n");
    }
    super::print(&text);
    Ok(())
}

fn describe(message: &Waiting) -> Value {
    let Waiting { sequence: _, id, body, attributes, sent_at, visible_at, history, group } = message;
    json!({
        "messageId": id,
        "body": body,
        "messageAttributes": serde_json::from_str(attributes).unwrap_or(Value::Null),
        "sentAt": sent_at,
        "visibleAt": visible_at,
        "receives": history.receives,
        "crashes": history.crashes,
        "reason": history.describe(),
        "messageGroupId": group,
    })
}
