//! The description of the API (OpenAPI 3.1), merged from the documents of the domains.

use std::sync::OnceLock;

use kernel::json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::{problem::Problem, routes::Operation};

/// The common part: the title, and parameters and responses of several domains.
const COMMON: &str = include_str!("openapi.json");

/// The description of the routes of a server.
#[derive(Debug)]
pub(crate) struct Description {
    operations: Vec<Operation>,
    documents: Vec<&'static str>,
    text: OnceLock<String>,
}

/// A document: the common one is whole, those of the domains lack the first three members.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    openapi: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    info: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    servers: Option<Value>,
    #[serde(default)]
    tags: Vec<Value>,
    #[serde(default)]
    paths: Map<String, Value>,
    #[serde(default)]
    components: Map<String, Value>,
}

impl Description {
    /// The description of `operations`, in their order; `documents` describe them.
    pub(crate) fn new(operations: Vec<Operation>, documents: Vec<&'static str>) -> Self {
        Self { operations, documents, text: OnceLock::new() }
    }

    /// The description as JSON text, merged at the first call.
    pub(crate) fn text(&self) -> Result<&str, Problem> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let merged = self.merge()?;
        Ok(self.text.get_or_init(|| merged))
    }

    fn merge(&self) -> Result<String, Problem> {
        let mut whole: Document = json::decode(COMMON.as_bytes())?;
        let mut described = Map::new();
        for document in &self.documents {
            let part: Document = json::decode(document.as_bytes())?;
            whole.tags.extend(part.tags);
            described.extend(part.paths);
            for (kind, members) in part.components {
                members_of(&mut whole.components, &kind)?.extend(object(members)?);
            }
        }
        for Operation { method, path, .. } in &self.operations {
            let name = method.to_ascii_lowercase();
            let operation = members_of(&mut described, path)?.remove(&name);
            let operation = operation
                .ok_or_else(|| Problem::internal(format!("no document describes {method} {path}")))?;
            members_of(&mut whole.paths, path)?.insert(name, operation);
        }
        if let Some((path, _)) = described.iter().find(|(_, rest)| *rest != &Value::Object(Map::new())) {
            return Err(Problem::internal(format!("{path} has no route for an operation of its document")));
        }
        serde_json::to_string(&whole).map_err(|error| Problem::internal(format!("the description: {error}")))
    }
}

fn members_of<'a>(
    map: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Map<String, Value>, Problem> {
    let members = map.entry(name).or_insert_with(|| Map::new().into()).as_object_mut();
    members.ok_or_else(|| Problem::internal(format!("{name} of the description is no object")))
}

fn object(value: Value) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::internal("the components of the description are no object")),
    }
}
