//! The wiring: what `template.yaml` says of machines and functions, read as the deployment reads it.
//! What this host cannot honour it refuses, by name.

mod draw;
mod mappings;
mod site;
mod stores;
mod yaml;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use registry::{Consumer, Function};
use serde_json::Value;
use sqlite_store::queues::QueueSettings;
use states::{MachineType, StateMachine};

pub(crate) use mappings::Mapping;
pub(crate) use site::{Site, account, region, resource_of};

use crate::resources::Resource;

/// The template that is part of the program; `--template` names another.
const TEMPLATE: &str = include_str!("../../../../template.yaml");
/// The definitions that it names.
const DEFINITIONS: [(&str, &str); 3] = [
    ("statemachines/records.asl.json", include_str!("../../../../statemachines/records.asl.json")),
    ("statemachines/batch.asl.json", include_str!("../../../../statemachines/batch.asl.json")),
    (
        "statemachines/test-destination.asl.json",
        include_str!("../../../../statemachines/test-destination.asl.json"),
    ),
];

/// Read the items of a distributed Map and write its results.
const OBJECTS: [&str; 3] =
    ["arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2", "arn:aws:states:::s3:putObject"];

/// What a deployment on AWS needs and this host does by itself, or has no use for.
const NOT_NEEDED: [&str; 17] = [
    "AWS::ApiGateway::",
    "AWS::ApiGatewayV2::",
    "AWS::CloudWatch::",
    "AWS::DynamoDB::Table",
    "AWS::Events::",
    "AWS::IAM::",
    "AWS::KMS::",
    "AWS::Lambda::Permission",
    "AWS::Logs::",
    "AWS::S3::",
    "AWS::SNS::",
    "AWS::SQS::Queue",
    "AWS::SSM::",
    "AWS::Serverless::Api",
    "AWS::Serverless::Connector",
    "AWS::Serverless::HttpApi",
    "AWS::StepFunctions::StateMachineAlias",
];

/// A machine, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Its logical id: `RecordsStateMachine`.
    pub(crate) name: String,
    /// Its ARN.
    pub(crate) arn: String,
    /// Whether it is EXPRESS: run once, at least, and not kept.
    pub(crate) express: bool,
    /// Where its definition stands.
    pub(crate) definition: String,
    /// The definition's text, with everything put in.
    pub(crate) text: Arc<str>,
    /// The name by which the text is kept: a hash of it.
    pub(crate) hash: String,
    /// The role that it is given on AWS; here it is a name.
    pub(crate) role: Arc<str>,
    /// The definition.
    pub(crate) machine: Arc<StateMachine>,
}

impl Machine {
    pub(crate) fn new(arn: &str, express: bool, text: &str, role: &str, machine: Arc<StateMachine>) -> Self {
        Self {
            name: arn.rsplit(':').next().unwrap_or(arn).to_owned(),
            arn: arn.to_owned(),
            express,
            definition: String::new(),
            text: text.into(),
            hash: format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes())),
            role: role.into(),
            machine,
        }
    }

    /// The ARN of an execution of it.
    pub(crate) fn execution_arn(&self, name: &str) -> String {
        format!("{}:{name}", self.arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// The ARN of an execution of it as an EXPRESS machine.
    pub(crate) fn express_arn(&self, name: &str, id: &str) -> String {
        format!("{}:{name}:{id}", self.arn.replacen(":stateMachine:", ":express:", 1))
    }
}

/// The machines of a template.
#[derive(Clone, Debug)]
pub(crate) struct Wiring {
    pub(crate) machines: Vec<Arc<Machine>>,
    pub(crate) queues: Vec<QueueSettings>,
    /// Which queue feeds which function.
    pub(crate) mappings: Vec<Mapping>,
    resources: serde_json::Map<String, Value>,
}

/// A drawing, with what it shows.
#[derive(Debug)]
pub(crate) struct Diagram {
    pub(crate) title: &'static str,
    pub(crate) mermaid: String,
}

/// Everything that is wrong with a template and its machines, a sentence each.
#[derive(Debug)]
pub(crate) struct Problems(pub(crate) Vec<String>);

/// The ARN of a machine.
pub(crate) fn machine_arn(name: &str) -> String {
    Site::here().arn("states", &format!("stateMachine:{name}"))
}

/// The ARN of an activity.
pub(crate) fn activity_arn(name: &str) -> String {
    Site::here().arn("states", &format!("activity:{name}"))
}

/// What executions of a machine promise.
pub(crate) fn machine_type(express: bool) -> MachineType {
    if express { MachineType::Express } else { MachineType::Standard }
}

/// The ARN of an execution of a machine.
pub(crate) fn execution_arn(machine: &str, name: &str) -> String {
    Site::here().arn("states", &format!("execution:{machine}:{name}"))
}

/// The ARN of the machine that an execution is of.
pub(crate) fn machine_of(execution: &str) -> String {
    let parts: Vec<&str> = execution.split(':').collect();
    match parts.as_slice() {
        [front @ .., "execution", machine, _] | [front @ .., "express", machine, _, _] => {
            format!("{}:stateMachine:{machine}", front.join(":"))
        }
        _ => execution.to_owned(),
    }
}

/// Whether this host can run a Task's resource.
pub(crate) fn check_resource(resource: &str) -> Result<(), String> {
    if OBJECTS.contains(&resource) { Ok(()) } else { Resource::parse(resource).map(|_| ()) }
}

impl Wiring {
    /// Reads a template, or the one that is part of the program.
    pub(crate) fn read(template: Option<&Path>) -> Result<Self, Problems> {
        let one = |problem: String| Problems(vec![problem]);
        let (text, folder) = match template {
            None => (TEMPLATE.to_owned(), None),
            Some(path) => {
                let text =
                    fs::read_to_string(path).map_err(|error| one(format!("{}: {error}", path.display())))?;
                (text, Some(path.parent().map(PathBuf::from).unwrap_or_default()))
            }
        };
        let template =
            yaml::read(&text).map_err(|error| one(format!("the template is not YAML: {error}")))?;
        let resources =
            template["Resources"].as_object().ok_or_else(|| one("the template has no Resources".into()))?;
        let mut problems = Vec::new();
        let mut machines = Vec::new();
        for (name, resource) in resources {
            match resource["Type"].as_str().unwrap_or_default() {
                "AWS::Serverless::Function" => problems.extend(function_problem(name)),
                "AWS::Serverless::StateMachine" => {
                    match machine(name, resource, &template, folder.as_deref()) {
                        Ok(machine) => machines.push(Arc::new(machine)),
                        Err(Problems(found)) => problems.extend(found),
                    }
                }
                kind if NOT_NEEDED.iter().any(|known| kind.starts_with(known)) => {}
                kind => problems.push(format!("{name}: this host has nothing for a resource of type {kind}")),
            }
        }
        for needed in api::Machine::ALL.map(api::Machine::resource) {
            if !resources.contains_key(needed) {
                problems.push(format!("the template has no {needed}"));
            }
        }
        let (queues, faults) = stores::queues(resources);
        problems.extend(faults);
        let (mappings, faults) = mappings::mappings(resources, &queues);
        problems.extend(faults);
        if problems.is_empty() {
            Ok(Self { machines, queues, mappings, resources: resources.clone() })
        } else {
            Err(Problems(problems))
        }
    }

    /// The four drawings of S2-034, from the template and the machines as they are.
    pub(crate) fn diagrams(&self) -> Vec<Diagram> {
        let machine = |name: &str| {
            self.machine(name).map(|machine| draw::machine(&machine.machine)).unwrap_or_default()
        };
        vec![
            Diagram { title: "High-level architecture", mermaid: draw::architecture(&self.resources) },
            Diagram { title: "Flow of a large batch", mermaid: machine("BatchStateMachine") },
            Diagram { title: "Flow of records", mermaid: machine("RecordsStateMachine") },
            Diagram { title: "Template", mermaid: draw::whole_template(&self.resources) },
        ]
    }

    /// The machine with this logical id or ARN.
    pub(crate) fn machine(&self, name: &str) -> Option<&Arc<Machine>> {
        let name = name.rsplit(':').next().unwrap_or(name);
        self.machines.iter().find(|machine| machine.name == name)
    }
}

fn function_problem(name: &str) -> Option<String> {
    let is_known = Function::from_name(name).is_some() || Consumer::from_name(name).is_some();
    let known = name == "ApiFunction" || (name.ends_with("Function") && is_known);
    (!known).then(|| format!("{name}: there is no such function in crmflow"))
}

fn machine(
    name: &str,
    resource: &Value,
    template: &Value,
    folder: Option<&Path>,
) -> Result<Machine, Problems> {
    let properties = &resource["Properties"];
    let uri = properties["DefinitionUri"].as_str().unwrap_or_default();
    let one = |problem: String| Problems(vec![format!("{name}: {problem}")]);
    let text = match folder {
        Some(folder) => {
            fs::read_to_string(folder.join(uri)).map_err(|error| one(format!("{uri}: {error}")))?
        }
        None => DEFINITIONS
            .iter()
            .find(|(path, _)| *path == uri.trim_start_matches("./"))
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| one(format!("there is no definition {uri} in this program")))?,
    };
    let text = substitute(text, &properties["DefinitionSubstitutions"], template).map_err(one)?;
    let express = properties["Type"].as_str() == Some("EXPRESS");
    let machine =
        StateMachine::parse_as(machine_type(express), &text, &check_resource).map_err(|problems| {
            Problems(problems.0.iter().map(|problem| format!("{name}: {uri}: {problem}")).collect())
        })?;
    // SAM makes a role a machine; on this machine it is a name and nothing more.
    let role = format!("arn:aws:iam::{}:role/{name}Role", Site::here().account);
    let arn = machine_arn(name);
    Ok(Machine { definition: uri.to_owned(), ..Machine::new(&arn, express, &text, &role, machine) })
}

/// Puts the `DefinitionSubstitutions` in; every target must be there, and nothing may be left open. A parameter has
/// its default.
fn substitute(mut text: String, substitutions: &Value, template: &Value) -> Result<String, String> {
    for (name, value) in substitutions.as_object().into_iter().flatten() {
        let target = value["Ref"].as_str().or_else(|| value["Fn::GetAtt"][0].as_str());
        let put = match (value.as_str(), target) {
            (Some(text), _) => text.to_owned(),
            (None, Some(target)) => {
                let put = parameter(target, template)
                    .or_else(|| named(target, value["Fn::GetAtt"][1].as_str(), template));
                put.ok_or_else(|| {
                    format!("the substitution {name} names {target}, which is not in the template")
                })?
            }
            (None, None) => {
                return Err(format!("the substitution {name} is neither a text, a Ref nor a GetAtt"));
            }
        };
        text = text.replace(&format!("${{{name}}}"), &put);
    }
    match text.find("${").and_then(|at| text[at..].split_inclusive('}').next()) {
        Some(open) => Err(format!("nothing is substituted for {open}")),
        None => Ok(text),
    }
}

/// What a parameter is where nobody says anything else.
fn parameter(name: &str, template: &Value) -> Option<String> {
    match &template["Parameters"][name]["Default"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What `Ref` (no attribute) or `GetAtt` gives for a resource.
fn named(target: &str, attribute: Option<&str>, template: &Value) -> Option<String> {
    let resource = template["Resources"].get(target)?;
    let name = || match resource["Type"].as_str().unwrap_or_default() {
        "AWS::Serverless::Function" => Site::here().arn("lambda", &format!("function:{target}")),
        "AWS::Serverless::StateMachine" => machine_arn(target),
        _ => target.to_owned(),
    };
    Some(stores::reference(target, resource, attribute).unwrap_or_else(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_diagrams_are_those_of_the_template_and_the_machines() {
        let page = include_str!("../../../../docs/architecture.md");
        for Diagram { title, mermaid } in Wiring::read(None).unwrap().diagrams() {
            let drawn = format!("### {title}\n\n```mermaid\n{mermaid}```\n");
            assert!(page.contains(&drawn), "{title}: draw it anew with `crmflow check --diagrams`");
        }
    }
}
