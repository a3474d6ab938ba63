//! The machines of `template.yaml`, their definitions, and the batch sizes of its queues.

use std::{collections::BTreeMap, fs, path::Path};

use saphyr::{LoadableYamlNode, YamlOwned};
use serde_json::Value;

use crate::error::Error;

/// The machines of a template, and the batch sizes of functions that a queue feeds, by logical id.
#[derive(Clone, Debug)]
pub struct Stack {
    machines: BTreeMap<String, Machine>,
    batch_sizes: BTreeMap<String, f64>,
}

#[derive(Clone, Debug)]
struct Machine {
    express: bool,
    definition: Value,
}

impl Stack {
    /// Reads `template.yaml` in `root`, and every definition that it names.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let path = root.join("template.yaml");
        let text = fs::read_to_string(&path).map_err(Error::at(&path))?;
        let documents = YamlOwned::load_from_str(&text)
            .map_err(|error| Error::Missing(format!("{}: {error}", path.display())))?;
        let resources = documents.first().and_then(|document| field(document, "Resources"));
        let (mut machines, mut batch_sizes) = (BTreeMap::new(), BTreeMap::new());
        for (id, resource) in resources.and_then(YamlOwned::as_mapping).into_iter().flatten() {
            let kind = field(resource, "Type").and_then(YamlOwned::as_str);
            if let (Some(id), Some("AWS::Serverless::StateMachine")) = (id.as_str(), kind) {
                machines.insert(id.to_owned(), Machine::read(root, id, resource)?);
            }
            if let (Some(id), Some(size)) = (id.as_str(), batch_size(resource)) {
                batch_sizes.insert(id.to_owned(), size);
            }
        }
        Ok(Self { machines, batch_sizes })
    }

    /// Whether a machine is an EXPRESS one.
    pub fn is_express(&self, id: &str) -> bool {
        self.machines.get(id).is_some_and(|machine| machine.express)
    }

    /// The definition of a machine.
    pub fn definition(&self, id: &str) -> Result<&Value, Error> {
        let machine = self.machines.get(id);
        machine
            .map(|machine| &machine.definition)
            .ok_or_else(|| Error::Missing(format!("the template has no machine {id}")))
    }

    /// Maximum messages in one call of a function.
    pub fn batch_size(&self, id: &str) -> Result<f64, Error> {
        let size = self.batch_sizes.get(id).copied();
        size.ok_or_else(|| Error::Missing(format!("the template feeds no function {id} from a queue")))
    }

    /// The stack with another definition, and another type, of a machine.
    #[must_use]
    pub fn with(mut self, id: &str, express: bool, edit: impl FnOnce(&mut Value)) -> Self {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.express = express;
            edit(&mut machine.definition);
        }
        self
    }

    /// The stack with another batch size of the queue that feeds a function.
    #[must_use]
    pub fn with_batch_size(mut self, id: &str, size: f64) -> Self {
        self.batch_sizes.insert(id.to_owned(), size);
        self
    }
}

impl Machine {
    fn read(root: &Path, id: &str, resource: &YamlOwned) -> Result<Self, Error> {
        let property = |name| {
            let properties = field(resource, "Properties")?;
            field(properties, name).and_then(YamlOwned::as_str)
        };
        let uri = property("DefinitionUri")
            .ok_or_else(|| Error::Missing(format!("{id} of the template has no DefinitionUri")))?;
        let path = root.join(uri);
        let text = fs::read_to_string(&path).map_err(Error::at(&path))?;
        let definition = serde_json::from_str(&text)
            .map_err(|error| Error::Missing(format!("{}: {error}", path.display())))?;
        Ok(Self { express: property("Type") == Some("EXPRESS"), definition })
    }
}

/// The batch size of the queue that feeds a function.
fn batch_size(resource: &YamlOwned) -> Option<f64> {
    let events = field(field(resource, "Properties")?, "Events")?;
    let events = events.as_mapping()?.values();
    let mut queues = events.filter(|event| field(event, "Type").and_then(YamlOwned::as_str) == Some("SQS"));
    let size = field(field(queues.next()?, "Properties")?, "BatchSize")?.as_integer()?;
    u32::try_from(size).ok().map(f64::from)
}

fn field<'a>(node: &'a YamlOwned, name: &str) -> Option<&'a YamlOwned> {
    let fields = node.as_mapping()?;
    fields.iter().find_map(|(key, value)| (key.as_str() == Some(name)).then_some(value))
}
