//! `crmflow queues`: the queues of the template, and what waits in them.

use std::{fmt::Write, path::Path, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    cli::Queues,
    clock,
    exit::Exit,
    folder::View,
    queues::{self, Depth, Waiting},
};

/// Runs one of its commands.
pub(super) fn run(data: &Path, template: Option<&Path>, command: &Queues) -> Result<ExitCode, Exit> {
    let names = super::wiring(template)?.queues.into_iter().map(|queue| queue.name);
    let readers = View::open(data)?.readers;
    match command {
        Queues::List { json } => {
            let depths = names.map(|name| Ok((queues::depth(&readers, &name, clock::now())?, name)));
            list(&depths.collect::<Result<Vec<_>, Exit>>()?, *json)?;
        }
        Queues::Show { queue, limit, json } => {
            if !names.into_iter().any(|name| name == *queue) {
                return Err(Exit::usage(format!("the template has no queue {queue}")));
            }
            show(&queues::oldest(&readers, queue, *limit)?, *json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(queues: &[(Depth, String)], json: bool) -> Result<(), Exit> {
    if json {
        let described = queues.iter().map(|(Depth { messages, delayed, oldest }, name)| {
            json!({ "queue": name, "messages": messages, "delayed": delayed, "oldest": oldest })
        });
        return super::print_json(&described.collect::<Vec<_>>());
    }
    let mut text = String::new();
    for (Depth { messages, delayed, oldest }, name) in queues {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:>9} messages, {delayed} delayed  {name}", super::grouped(*messages));
        let _ = oldest.map(|oldest| write!(text, "  oldest {oldest:.3}"));
        text.push('\n');
    }
    super::print(&text);
    Ok(())
}

fn show(messages: &[Waiting], json: bool) -> Result<(), Exit> {
    if json {
        return super::print_json(&messages.iter().map(describe).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for Waiting { id, body, sent_at, receives, .. } in messages {
        let _ = writeln!(text, "{id}  {sent_at:.3}  received {receives} times\n{body}\n");
    }
    super::print(&text);
    Ok(())
}

fn describe(message: &Waiting) -> Value {
    let Waiting { id, body, attributes, sent_at, visible_at, receives, group } = message;
    json!({
        "messageId": id,
        "body": body,
        "messageAttributes": serde_json::from_str(attributes).unwrap_or(Value::Null),
        "sentAt": sent_at,
        "visibleAt": visible_at,
        "receives": receives,
        "messageGroupId": group,
    })
}
