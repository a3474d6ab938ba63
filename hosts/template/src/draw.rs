//! Drawings of the template and its machines, in Mermaid.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::{Map, Value};
use states::{StateMachine, Via};

/// Kinds of resources that carry the work; the rest watches over them.
const MAIN_KINDS: [&str; 7] = [
    "AWS::Serverless::Api",
    "AWS::Serverless::HttpApi",
    "AWS::Serverless::Function",
    "AWS::Serverless::StateMachine",
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::Events::Rule",
];

/// The resources that carry the work, and what each uses.
pub(super) fn architecture(resources: &Map<String, Value>) -> String {
    template(resources, |kind| MAIN_KINDS.contains(&kind))
}

/// Every resource of the template, and what each refers to.
pub(super) fn whole_template(resources: &Map<String, Value>) -> String {
    template(resources, |_| true)
}

fn template(resources: &Map<String, Value>, shown: impl Fn(&str) -> bool) -> String {
    let kind =
        |name: &str| resources.get(name).and_then(|resource| resource["Type"].as_str()).unwrap_or_default();
    let mut text = String::from("flowchart LR\n");
    let names: Vec<&String> = resources.keys().filter(|name| shown(kind(name))).collect();
    for name in &names {
        let short = kind(name).trim_start_matches("AWS::").replace("::", " ");
        let (open, close) = match kind(name) {
            "AWS::DynamoDB::Table" | "AWS::S3::Bucket" => ("[(", ")]"),
            "AWS::Serverless::StateMachine" => ("{{", "}}"),
            _ => ("[", "]"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}{open}\"{name}<br/>{short}\"{close}");
    }
    for name in &names {
        let mut used = BTreeSet::new();
        references(&resources[*name], &mut used);
        for target in used.iter().filter(|target| *target != *name && names.contains(target)) {
            let _ = writeln!(text, "  {name} --> {target}");
        }
    }
    text
}

/// The names that a part of the template refers to, by Ref, GetAtt or Sub.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field) {
                    ("Ref", Value::String(target)) => _ = found.insert(target.clone()),
                    ("Fn::GetAtt", Value::Array(path)) => {
                        found.extend(path.first().and_then(Value::as_str).map(ToOwned::to_owned));
                    }
                    ("Fn::Sub", Value::String(text)) => found.extend(substitutions(text)),
                    _ => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn substitutions(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("${").skip(1).filter_map(|part| {
        let name = part.split('}').next()?;
        Some(name.split('.').next().unwrap_or(name).to_owned())
    })
}

/// A machine's states and the ways between them.
pub(super) fn machine(machine: &StateMachine) -> String {
    let mut text = format!("stateDiagram-v2\n  [*] --> {}\n", machine.start_at());
    for state in machine.states() {
        if let Some(parent) = state.parent().filter(|parent| parent.nested().contains(&state.name())) {
            let _ = writeln!(text, "  {} --> {}: each item", parent.name(), state.name());
        }
        let edges = state.edges();
        if edges.is_empty() {
            let _ = writeln!(text, "  {} --> [*]", state.name());
        }
        for edge in edges {
            let label = match edge.via {
                Via::Next => String::new(),
                Via::Choice(condition) => format!(": {}", words(condition)),
                Via::Default => ": otherwise".to_owned(),
                Via::Catch(errors) => format!(": fails ({})", errors.join(", ")),
            };
            let _ = writeln!(text, "  {} --> {}{label}", state.name(), edge.to.unwrap_or("[*]"));
        }
    }
    text
}

/// A condition without the marks that JSONata and Mermaid read differently.
fn words(condition: &str) -> String {
    condition.trim_start_matches("{%").trim_end_matches("%}").trim().replace([':', ';'], " ")
}
