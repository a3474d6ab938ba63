//! The template as a whole. The reader refuses, by name, everything that this host cannot support.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kernel::store::Table;
use serde_json::Value;
use states::StateMachine;

use crate::{
    Machine, Mapping, Queue, Site, draw, machine_arn, machine_type, mappings, mappings::Consumer,
    resource_of, resources, site::is_account, yaml,
};

/// The template that is part of the program; `--template` names another.
const TEMPLATE: &str = include_str!("../../../template.yaml");
/// The definitions that it names.
const DEFINITIONS: [(&str, &str); 3] = [
    ("statemachines/records.asl.json", include_str!("../../../statemachines/records.asl.json")),
    ("statemachines/batch.asl.json", include_str!("../../../statemachines/batch.asl.json")),
    (
        "statemachines/test-destination.asl.json",
        include_str!("../../../statemachines/test-destination.asl.json"),
    ),
];

/// The name of the stack on this host.
const STACK_NAME: &str = "crmflow";

/// The head of the page of diagrams.
const DIAGRAMS_HEAD: &str = "# Diagrams

`crmflow check --diagrams > docs/diagrams.md` draws this page from the template and the machines. A test compares them.
";

/// The kinds of resources that a deployment on AWS needs and this host does not.
const IGNORED_KINDS: [&str; 17] = [
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

/// The names that a template may use, as the host knows them.
pub struct Names<'n> {
    /// The machines that there must be.
    pub machines: &'n [&'n str],
    /// Whether there is a function of this name.
    pub is_function: &'n dyn Fn(&str) -> bool,
    /// The function of this name that a queue may feed.
    pub consumer: &'n dyn Fn(&str) -> Option<Consumer>,
    /// Gives the reason why the host cannot run a Task's resource.
    pub check_resource: &'n dyn Fn(&str) -> Result<(), String>,
}

/// The machines of a template.
#[derive(Clone, Debug)]
pub struct Template {
    /// The machines, in the order of the template.
    pub machines: Vec<Arc<Machine>>,
    /// The queues, in the order of the template.
    pub queues: Vec<Queue>,
    /// Which queue feeds which function.
    pub mappings: Vec<Mapping>,
    resources: serde_json::Map<String, Value>,
}

/// Everything that is wrong with a template and its machines, a sentence each.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl Template {
    /// Reads a template, or the one that is part of the program.
    pub fn read(template: Option<&Path>, names: &Names<'_>) -> Result<Self, Problems> {
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
                "AWS::Serverless::Function" => problems.extend(function_problem(name, names)),
                "AWS::Serverless::StateMachine" => {
                    match machine(name, resource, &template, folder.as_deref(), names) {
                        Ok(machine) => machines.push(Arc::new(machine)),
                        Err(Problems(found)) => problems.extend(found),
                    }
                }
                kind if IGNORED_KINDS.iter().any(|known| kind.starts_with(known)) => {}
                kind => problems.push(format!("{name}: this host has nothing for a resource of type {kind}")),
            }
        }
        for needed in names.machines {
            if !resources.contains_key(*needed) {
                problems.push(format!("the template has no {needed}"));
            }
        }
        let (queues, faults) = resources::queues(resources);
        problems.extend(faults);
        let (mappings, faults) = mappings::mappings(resources, &queues, names.consumer);
        problems.extend(faults);
        if problems.is_empty() {
            Ok(Self { machines, queues, mappings, resources: resources.clone() })
        } else {
            Err(Problems(problems))
        }
    }

    /// The four drawings of S2-034, from the template and the machines as they are: the page `docs/diagrams.md`.
    pub fn diagrams(&self) -> String {
        let machine = |name: &str| {
            self.machine(name).map(|machine| draw::machine(&machine.machine)).unwrap_or_default()
        };
        let drawings = [
            ("High-level architecture", draw::architecture(&self.resources)),
            ("Flow of a large batch", machine("BatchStateMachine")),
            ("Flow of records", machine("RecordsStateMachine")),
            ("Template", draw::whole_template(&self.resources)),
        ];
        let mut page = DIAGRAMS_HEAD.to_owned();
        for (title, mermaid) in drawings {
            // Writing to a string cannot fail.
            let _ = write!(page, "\n## {title}\n\n```mermaid\n{mermaid}```\n");
        }
        page
    }

    /// The machine with this logical id or ARN.
    pub fn machine(&self, name: &str) -> Option<&Arc<Machine>> {
        let name = name.rsplit(':').next().unwrap_or(name);
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// The queue at an address, with any region and account.
    pub fn queue(&self, url: &str) -> Option<&Queue> {
        let path = url.strip_prefix("https://sqs.")?;
        let mut parts = path.split('/').skip(1);
        let (account, name) = (parts.next()?, parts.next()?);
        let found = self.queues.iter().find(|queue| queue.name == name);
        found.filter(|_| is_account(account) && parts.next().is_none())
    }

    /// The queue with this name.
    pub fn queue_named(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// The table with this name, its logical id, or this ARN with any region and account.
    pub fn table(&self, name: &str) -> Option<Table> {
        let of_arn = resource_of(name, "dynamodb").and_then(|resource| resource.strip_prefix("table/"));
        let name = of_arn.unwrap_or(name);
        let resource = self.resources.get(name)?;
        let found = Table::ALL.into_iter().find(|table| table.resource() == name);
        found.filter(|_| resource["Type"] == "AWS::DynamoDB::Table")
    }

    /// Whether this is the name of the template's bucket, its logical id.
    pub fn is_bucket(&self, name: &str) -> bool {
        self.resources.get(name).is_some_and(|resource| resource["Type"] == "AWS::S3::Bucket")
    }
}

fn function_problem(name: &str, names: &Names<'_>) -> Option<String> {
    let is_known = (names.is_function)(name) || (names.consumer)(name).is_some();
    let known = name == "ApiFunction" || (name.ends_with("Function") && is_known);
    (!known).then(|| format!("{name}: there is no such function in crmflow"))
}

fn machine(
    name: &str,
    resource: &Value,
    template: &Value,
    folder: Option<&Path>,
    names: &Names<'_>,
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
        StateMachine::parse_as(machine_type(express), &text, &names.check_resource).map_err(|problems| {
            Problems(problems.0.iter().map(|problem| format!("{name}: {uri}: {problem}")).collect())
        })?;
    // SAM makes a role a machine; on this machine it is a name and nothing more.
    let role = format!("arn:aws:iam::{}:role/{name}Role", Site::here().account);
    let arn = machine_arn(name);
    Ok(Machine { definition: uri.to_owned(), ..Machine::new(&arn, express, &text, &role, machine) })
}

/// Applies the `DefinitionSubstitutions`. Every target must exist, and no variable may remain. A parameter has its
/// default.
fn substitute(mut text: String, substitutions: &Value, template: &Value) -> Result<String, String> {
    for (name, value) in substitutions.as_object().into_iter().flatten() {
        let target = value["Ref"].as_str().or_else(|| value["Fn::GetAtt"][0].as_str());
        let written = value.as_str().map(ToOwned::to_owned).or_else(|| value["Fn::Sub"].as_str().map(pseudo));
        let put = match (written, target) {
            (Some(text), _) => text,
            (None, Some(target)) => {
                let put = parameter(target, template)
                    .or_else(|| named(target, value["Fn::GetAtt"][1].as_str(), template));
                put.ok_or_else(|| {
                    format!("the substitution {name} names {target}, which is not in the template")
                })?
            }
            (None, None) => {
                return Err(format!("the substitution {name} is neither a text, a Ref, a GetAtt nor a Sub"));
            }
        };
        text = text.replace(&format!("${{{name}}}"), &put);
    }
    match text.find("${").and_then(|at| text[at..].split_inclusive('}').next()) {
        Some(open) => Err(format!("nothing is substituted for {open}")),
        None => Ok(by_logical_id(text, template)),
    }
}

/// A text with the pseudo parameters of this host.
fn pseudo(text: &str) -> String {
    let site = Site::here();
    [
        ("${AWS::Partition}", "aws"),
        ("${AWS::Region}", &site.region),
        ("${AWS::AccountId}", &site.account),
        ("${AWS::StackName}", STACK_NAME),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// On this host the ARN of a function ends with the function's logical id, so the names that the template gives to its
/// functions are replaced.
fn by_logical_id(text: String, template: &Value) -> String {
    let resources = template["Resources"].as_object().into_iter().flatten();
    resources.fold(text, |text, (id, resource)| {
        let name = &resource["Properties"]["FunctionName"];
        let Some(name) = name["Fn::Sub"].as_str().or_else(|| name.as_str()) else { return text };
        let arn = |name: &str| format!("\"{}\"", Site::here().arn("lambda", &format!("function:{name}")));
        text.replace(&arn(&pseudo(name)), &arn(id))
    })
}

/// The default of a parameter.
fn parameter(name: &str, template: &Value) -> Option<String> {
    match &template["Parameters"][name]["Default"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The value of `Ref` (no attribute) or `GetAtt` for a resource.
fn named(target: &str, attribute: Option<&str>, template: &Value) -> Option<String> {
    let resource = template["Resources"].get(target)?;
    let name = || match resource["Type"].as_str().unwrap_or_default() {
        "AWS::Serverless::Function" => Site::here().arn("lambda", &format!("function:{target}")),
        "AWS::Serverless::StateMachine" => machine_arn(target),
        _ => target.to_owned(),
    };
    Some(resources::reference(target, resource, attribute).unwrap_or_else(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_diagrams_match_the_template() {
        let names = Names {
            machines: &[],
            is_function: &|_| true,
            consumer: &|name| name.ends_with("EventsFunction").then_some(Consumer { keeps_order: false }),
            check_resource: &|_| Ok(()),
        };
        let drawn = Template::read(None, &names).unwrap().diagrams();
        assert_eq!(
            include_str!("../../../docs/diagrams.md"),
            drawn,
            "crmflow check --diagrams > docs/diagrams.md"
        );
    }
}
