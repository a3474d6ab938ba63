//! The data of an execution, as descriptions have it.

use serde_json::{Map, Value as Json, json};

/// Puts data in, and whether it is included.
pub(super) fn payload(into: &mut Map<String, Json>, name: &str, data: Option<&str>, included: bool) {
    let Some(data) = data else { return };
    if included {
        into.insert(name.into(), json!(data));
    }
    into.insert(format!("{name}Details"), json!({ "included": included }));
}

/// Puts error and cause in, where there are any.
pub(super) fn failure(into: &mut Map<String, Json>, error: Option<&str>, cause: Option<&str>) {
    for (name, text) in [("error", error), ("cause", cause)] {
        if let Some(text) = text {
            into.insert(name.into(), json!(text));
        }
    }
}
