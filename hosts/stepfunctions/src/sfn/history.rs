//! The history of an execution, a page at a time.

use serde_json::{Value as Json, json};

use super::{Endpoint, arn, error::Error, page::Page, validate::Fields};
use crate::clock;

/// `GetExecutionHistory`
pub(super) fn get(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("executionArn");
    let reverse = fields.flag("reverseOrder").unwrap_or_default();
    let include_data = fields.flag("includeExecutionData").unwrap_or(true);
    let page = Page::read(&mut fields, 1024).of(format!("history/{arn}/{reverse}/{include_data}"));
    fields.finish()?;
    arn::execution(&arn)?;
    let now = clock::now();
    let skip: usize = page.after(now)?.and_then(|count| count.parse().ok()).unwrap_or_default();
    let mut events = endpoint.executions.history(&arn)?.ok_or_else(|| Error::no_execution(&arn))?;
    if reverse {
        events.reverse();
    }
    let has_more = events.len() > skip + page.size;
    let shown = events.iter().skip(skip).take(page.size);
    let mut shown: Vec<_> = shown.map(|event| json!(event)).collect();
    if !include_data {
        shown.iter_mut().for_each(leave_data_out);
    }
    let mut answer = json!({ "events": shown });
    if has_more {
        answer["nextToken"] = json!(page.token(&(skip + page.size).to_string(), now));
    }
    Ok(answer)
}

/// Inputs, outputs and variables are data; the rest of an event is not.
fn leave_data_out(event: &mut Json) {
    let Some(members) = event.as_object_mut() else { return };
    for details in members.values_mut().filter_map(Json::as_object_mut) {
        for name in ["input", "output", "assignedVariables"] {
            details.remove(name);
            details.remove(&format!("{name}Details"));
        }
    }
}
