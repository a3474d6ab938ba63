//! State machines: made, changed, described, listed, deleted.

use std::sync::Arc;

use futures::future;
use kernel::store::StoreError;
use serde_json::{Map, Value as Json, json};
use states::Failure;

use super::{
    Endpoint, arn, definition,
    error::{Error, Kind},
    page::Page,
    seconds,
    settings::{self, Settings},
    tags,
    validate::Fields,
};
use crate::{
    clock,
    executions::{self, ListFilter, Status},
    machines::{Created, StoredMachine},
    mocks::MockedTasks,
};

/// `CreateStateMachine`
pub(super) async fn create(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let name = fields.required("name", 1..=80);
    let definition = fields.secret("definition", 1..=definition::MAX_CHARS);
    let role = fields.arn("roleArn");
    let kind = fields.word("type", &["STANDARD", "EXPRESS"]);
    let settings = Settings::read(&mut fields);
    let tags = tags::read(&mut fields);
    let publish = Publish::read(&mut fields);
    fields.finish()?;
    publish.check()?;
    arn::name(&name)?;
    check_role(&role)?;
    let express = kind.as_deref() == Some("EXPRESS");
    settings.check()?;
    tags::check(&tags)?;
    definition::check(&definition, express, &|resource| endpoint.check_resource(&name, resource))?;
    let now = clock::now();
    let machine = StoredMachine {
        arn: template::machine_arn(&name),
        name,
        express,
        of_template: false,
        is_deleting: false,
        created_at: now,
        revision: clock::uuid(),
        definition,
        role,
        settings: settings.over("{}"),
        updated_at: now,
    };
    let made = match endpoint.machines().create(machine.clone(), tags).await? {
        Created::Now => machine,
        Created::Before(before) if before.is_deleting => return Err(Error::machine_deleting(&before.arn)),
        Created::Before(before) if is_same(&before, &machine) => *before,
        Created::Before(before) => return Err(Error::machine_exists(&before.arn)),
    };
    Ok(json!({ "stateMachineArn": made.arn, "creationDate": seconds(made.created_at) }))
}

/// Whether making one is making the other: role and tags do not count.
fn is_same(before: &StoredMachine, machine: &StoredMachine) -> bool {
    before.definition == machine.definition
        && before.express == machine.express
        && settings::described(&before.settings) == settings::described(&machine.settings)
}

/// `UpdateStateMachine`
pub(super) async fn update(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("stateMachineArn");
    let definition = fields.text("definition", 1..=definition::MAX_CHARS);
    let role = fields.text("roleArn", 1..=256);
    let settings = Settings::read(&mut fields);
    let publish = Publish::read(&mut fields);
    fields.finish()?;
    let mut machine = endpoint.machine_to_change(&arn)?;
    publish.check()?;
    if definition.is_none() && role.is_none() && settings.is_empty() {
        let message = "Either the definition, the role ARN, the LoggingConfiguration, the TracingConfiguration, \
                       or the EncryptionConfiguration must be specified";
        return Err(Error::new(Kind::MissingRequiredParameter, message));
    }
    settings.check()?;
    if let Some(role) = role {
        check_role(&role)?;
        machine.role = role;
    }
    if let Some(definition) = definition {
        let check = |resource: &str| endpoint.check_resource(&machine.name, resource);
        definition::check(&definition, machine.express, &check)?;
        machine.definition = definition;
    }
    machine.settings = settings.over(&machine.settings);
    machine.revision = clock::uuid();
    machine.updated_at = clock::now();
    let answer = json!({ "updateDate": seconds(machine.updated_at), "revisionId": machine.revision });
    match endpoint.machines().update(machine).await? {
        true => Ok(answer),
        false => Err(Error::machine_deleting(&arn)),
    }
}

/// `DeleteStateMachine`
pub(super) async fn delete(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("stateMachineArn");
    fields.finish()?;
    match endpoint.machine_to_change(&arn) {
        Ok(machine) => {
            endpoint.machines().mark_deleting(&machine.arn).await?;
            end(endpoint, &machine.arn).await?;
            Ok(json!({}))
        }
        // Deleting twice is deleting once.
        Err(error) if error == Error::no_machine(&arn) || error == Error::machine_deleting(&arn) => {
            Ok(json!({}))
        }
        Err(error) => Err(error),
    }
}

/// Ends a machine that is being deleted: stops its executions, and deletes all of it.
pub(super) async fn end(endpoint: &Endpoint, arn: &str) -> Result<(), StoreError> {
    let mut running = ListFilter {
        machine_arn: Some(arn.to_owned()),
        status: Some(Status::Running),
        limit: 100,
        ..ListFilter::default()
    };
    loop {
        let page = endpoint.executions.list(&running)?;
        // Together, so that their last lines share a commit.
        let stops = page.iter().map(|execution| endpoint.executions.stop(&execution.arn, Failure::default()));
        future::try_join_all(stops).await?;
        match page.last() {
            Some(last) => running.before = Some(last.id),
            None => return endpoint.machines().delete(arn, executions::delete).await,
        }
    }
}

/// `DescribeStateMachine`
pub(super) fn describe(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let arn = fields.arn("stateMachineArn");
    let included = included(&mut fields);
    fields.finish()?;
    let machine = endpoint.machine(&arn)?;
    let mut described = description(&machine, included);
    let status = if machine.is_deleting { "DELETING" } else { "ACTIVE" };
    described.insert("status".into(), json!(status));
    described.insert("type".into(), json!(kind(&machine)));
    described.insert("creationDate".into(), json!(seconds(machine.created_at)));
    Ok(Json::Object(described))
}

/// `ListStateMachines`
pub(super) fn list(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let page = Page::read(&mut fields, 1024).of("machines");
    fields.finish()?;
    let now = clock::now();
    let after = page.after(now)?;
    let mut found = endpoint.machines().list(after.as_deref(), page.size + 1)?;
    let has_more = found.len() > page.size;
    found.truncate(page.size);
    let mut answer = json!({ "stateMachines": found.iter().map(listed).collect::<Vec<_>>() });
    if let Some(last) = found.last().filter(|_| has_more) {
        answer["nextToken"] = json!(page.token(&last.key(), now));
    }
    Ok(answer)
}

fn listed(machine: &StoredMachine) -> Json {
    json!({
        "stateMachineArn": machine.arn,
        "name": machine.name,
        "type": kind(machine),
        "creationDate": seconds(machine.created_at),
    })
}

/// The members that descriptions of a machine and of the machine of an execution share.
pub(super) fn description(machine: &StoredMachine, included: bool) -> Map<String, Json> {
    let mut described = settings::described(&machine.settings);
    described.insert("stateMachineArn".into(), json!(machine.arn));
    described.insert("name".into(), json!(machine.name));
    described.insert("definition".into(), json!(if included { &machine.definition } else { "{}" }));
    described.insert("roleArn".into(), json!(machine.role));
    if !machine.is_first_revision() {
        described.insert("revisionId".into(), json!(machine.revision));
    }
    described
}

/// Whether the request asks for data, and not for metadata alone.
pub(super) fn included(fields: &mut Fields) -> bool {
    fields.word("includedData", &["ALL_DATA", "METADATA_ONLY"]).as_deref() != Some("METADATA_ONLY")
}

fn kind(machine: &StoredMachine) -> &'static str {
    if machine.express { "EXPRESS" } else { "STANDARD" }
}

pub(super) fn check_role(arn: &str) -> Result<(), Error> {
    let is_arn = arn.starts_with("arn:") && arn.split(':').count() >= 6;
    if is_arn { Ok(()) } else { Err(Error::arn(format_args!("Invalid ARN prefix: {arn}"))) }
}

/// The request to publish a version: this host has no versions.
struct Publish {
    publish: bool,
    description: Option<String>,
}

impl Publish {
    fn read(fields: &mut Fields) -> Self {
        let publish = fields.flag("publish").unwrap_or_default();
        Self { publish, description: fields.data("versionDescription", 256) }
    }

    fn check(&self) -> Result<(), Error> {
        match (self.publish, &self.description) {
            (true, _) => Err(Error::validation("This host does not publish versions of state machines")),
            (false, Some(_)) => {
                Err(Error::validation("Version description can only be set when publish is true"))
            }
            (false, None) => Ok(()),
        }
    }
}

impl Endpoint {
    /// The machine with this ARN, which may be about to be deleted.
    pub(super) fn machine(&self, arn: &str) -> Result<StoredMachine, Error> {
        arn::machine(arn)?;
        self.machines().find(arn)?.ok_or_else(|| Error::no_machine(arn))
    }

    /// Whether this host can run a resource for a machine of this name.
    fn check_resource(&self, machine: &str, resource: &str) -> Result<(), String> {
        self.executions.services.check_resource(machine, resource)
    }

    /// The test case of a machine that a mock configuration file has.
    pub(super) fn mocks(&self, machine: &str, test_case: &str) -> Result<Arc<MockedTasks>, Error> {
        let file = &self.executions.services.mock_file;
        let case = file.case(machine, test_case).ok_or_else(|| Error::no_test_case(machine, test_case))?;
        Ok(Arc::new(MockedTasks::new(test_case, case)))
    }

    /// The machine with this ARN, to be started.
    pub(super) fn open_machine(&self, arn: &str) -> Result<StoredMachine, Error> {
        let machine = self.machine(arn)?;
        if machine.is_deleting { Err(Error::machine_deleting(arn)) } else { Ok(machine) }
    }

    fn machine_to_change(&self, arn: &str) -> Result<StoredMachine, Error> {
        let machine = self.open_machine(arn)?;
        if machine.of_template { Err(Error::machine_of_template(arn)) } else { Ok(machine) }
    }
}
