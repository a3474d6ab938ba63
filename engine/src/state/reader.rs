//! ItemReader: where a distributed Map has its items from. The host does the reading.

use std::sync::Arc;

use super::map::count;
use crate::effect::{ItemFormat, ItemSource, TaskId};
use crate::load::Fields;
use crate::problem::Code;
use crate::query::{Reach, Template};
use crate::run::{Fault, Given, Visit};
use crate::value::Value;

/// An ItemReader.
#[derive(Debug)]
pub(crate) struct Reader {
    pub resource: Arc<str>,
    pub arguments: Template,
    format: ItemFormat,
    most: Option<Template>,
}

impl Reader {
    pub(crate) fn parse(fields: Fields<'_>) -> Option<Self> {
        fields.require(&["Resource", "Arguments"]);
        let resource = fields.text("Resource");
        if let Some(resource) = resource.as_deref().filter(|resource| !resource.ends_with(":s3:getObject")) {
            let message = format!("An ItemReader with '{resource}' is not supported yet; use s3:getObject");
            fields.refuse(Code::NotSupported, Some("Resource"), message);
        }
        let arguments =
            fields.template_of("Arguments", "an object", Reach::INPUT, |value| value.as_object().is_some());
        let (format, most) = match fields.object("ReaderConfig") {
            Some(config) => config_of(config),
            None => (Some(ItemFormat::Json { pointer: None }), None),
        };
        fields.finish(&[]);
        Some(Self { resource: resource?, arguments: arguments?, format: format?, most })
    }

    pub(crate) fn request(&self, visit: &mut Visit<'_>) -> Result<(TaskId, ItemSource), Fault> {
        let arguments =
            visit.evaluate(Given::default(), |scope| self.arguments.fill("ItemReader/Arguments", scope))?;
        let id = visit.task_id();
        let source = ItemSource {
            id,
            resource: Arc::clone(&self.resource),
            arguments,
            format: self.format.clone(),
            max_items: self.max_items(visit)?,
            state: Arc::clone(&visit.state.name),
            execution: visit.execution(),
        };
        Ok((id, source))
    }

    pub(crate) fn format(&self) -> &ItemFormat {
        &self.format
    }

    pub(crate) fn max_items(&self, visit: &mut Visit<'_>) -> Result<Option<usize>, Fault> {
        let Some(template) = &self.most else {
            return Ok(None);
        };
        let field = "ItemReader/ReaderConfig/MaxItems";
        let most = visit.evaluate(Given::default(), |scope| {
            template.fill_as(field, "non-negative integer", scope, count)
        })?;
        Ok(Some(most).filter(|most| *most > 0))
    }
}

fn config_of(config: Fields<'_>) -> (Option<ItemFormat>, Option<Template>) {
    config.require(&["InputType"]);
    let kind = config.text("InputType");
    let most = config.template_of("MaxItems", "a whole number from 0", Reach::INPUT, |value: &Value| {
        count(value).is_some()
    });
    let format = match kind.as_deref() {
        None => None,
        Some("JSON") => Some(ItemFormat::Json { pointer: config.text("ItemsPointer") }),
        Some("JSONL") => Some(ItemFormat::JsonLines),
        Some("CSV") => csv(&config),
        Some(other) => {
            let message = format!("The input type '{other}' is not supported yet");
            config.refuse(Code::NotSupported, Some("InputType"), message);
            None
        }
    };
    config.finish(&[("Transformation", "'Transformation' is not supported yet")]);
    (format, most)
}

fn csv(config: &Fields<'_>) -> Option<ItemFormat> {
    config.require(&["CSVHeaderLocation"]);
    let headers = match config.text("CSVHeaderLocation").as_deref() {
        Some("FIRST_ROW") => None,
        Some("GIVEN") => {
            config.require(&["CSVHeaders"]);
            Some(config.texts("CSVHeaders")?)
        }
        Some(_) => {
            config.invalid("CSVHeaderLocation", "Expected 'FIRST_ROW' or 'GIVEN'");
            return None;
        }
        None => return None,
    };
    let delimiter = match config.text("CSVDelimiter").as_deref() {
        None | Some("COMMA") => ',',
        Some("PIPE") => '|',
        Some("SEMICOLON") => ';',
        Some("SPACE") => ' ',
        Some("TAB") => '\t',
        Some(_) => {
            config.invalid("CSVDelimiter", "Expected 'COMMA', 'PIPE', 'SEMICOLON', 'SPACE' or 'TAB'");
            return None;
        }
    };
    Some(ItemFormat::Csv { headers, delimiter })
}
