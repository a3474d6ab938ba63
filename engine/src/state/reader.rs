//! ItemReader: the source of a distributed Map's items. The host reads them.

use std::sync::Arc;

use super::arguments::arguments;
use crate::effect::{Effect, ItemFormat, ItemSource, ObjectSet};
use crate::failure::{Failure, reserved};
use crate::ids::TaskId;
use crate::load::{Fields, ParseContext};
use crate::problem::Code;
use crate::query::{EvaluationError, Scope, Template};
use crate::run::{Fault, Source, Visit};
use crate::value::Value;

/// AWS's limit for `MaxItems`.
const MAX_ITEMS: i64 = 100_000_000;
/// The location of `MaxItems` in messages.
const MAX_ITEMS_FIELD: &str = "ItemReader/ReaderConfig/MaxItems";
/// AWS's limit for the text of `ItemsPointer`.
const MAX_POINTER_CHARS: usize = 2_000;

#[derive(Debug)]
pub(crate) struct Reader {
    pub resource: Arc<str>,
    arguments: Template,
    objects: ObjectSet,
    format: ItemFormat,
    max_items: Option<Template>,
}

/// The fields of a ReaderConfig.
struct Config {
    objects: ObjectSet,
    format: ItemFormat,
    max_items: Option<Template>,
}

impl Reader {
    pub(crate) fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        fields.require(&["Resource"]);
        let resource = fields.text("Resource");
        let is_list = resource.as_deref().and_then(|resource| {
            let is_list = match resource.rsplit_once(":states:::s3:") {
                Some((_, "listObjectsV2")) => Some(true),
                Some((_, "getObject")) => Some(false),
                _ => None,
            };
            if is_list.is_none() {
                let message = "An ItemReader's resource is s3:getObject or s3:listObjectsV2";
                fields.invalid("Resource", message);
            } else {
                context.check_resource(&fields, resource);
            }
            is_list
        });
        let arguments = arguments(&fields);
        let config = match (fields.object("ReaderConfig"), is_list?) {
            (Some(config), true) => listed(&config).map(|parts| finish(config, parts)),
            (Some(config), false) => named(&config).map(|parts| finish(config, parts)),
            (None, true) => {
                Some(Config { objects: ObjectSet::Listed, format: ItemFormat::Listing, max_items: None })
            }
            (None, false) => {
                let format = ItemFormat::Json { pointer: None };
                Some(Config { objects: ObjectSet::Named, format, max_items: None })
            }
        };
        let (config, arguments) = (config?, arguments?);
        if config.format == ItemFormat::Parquet && has(&arguments, "VersionId") {
            fields.invalid("ReaderConfig", "'VersionId' is not supported for 'PARQUET'");
        }
        fields.finish(&[]);
        let Config { objects, format, max_items } = config;
        Some(Self { resource: resource?, arguments, objects, format, max_items })
    }

    /// Asks the host to read the items.
    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Result<(TaskId, Source), Fault> {
        let arguments = visit.evaluate_in_map(|scope| self.arguments.fill("ItemReader/Arguments", scope))?;
        let source = self.origin(&arguments);
        let max_items = self.max_items(visit)?;
        let id = visit.register_new_task();
        visit.effect(Effect::ReadItems(ItemSource {
            id,
            resource: Arc::clone(&self.resource),
            arguments,
            objects: self.objects,
            format: self.format.clone(),
            max_items,
            state: Arc::clone(&visit.state.name),
            execution: visit.execution(),
        }));
        Ok((id, source))
    }

    /// The format of the one object; `None`: the reader has several objects.
    pub(crate) fn format(&self) -> Option<&ItemFormat> {
        (self.objects == ObjectSet::Named).then_some(&self.format)
    }

    /// The origin of the items in a test, in which the host reads nothing.
    pub(super) fn source(&self, visit: &mut Visit<'_>) -> Result<Source, Fault> {
        let arguments = visit.evaluate_in_map(|scope| self.arguments.fill("ItemReader/Arguments", scope))?;
        Ok(self.origin(&arguments))
    }

    /// The maximum number of items. As on AWS, zero means all.
    pub(crate) fn max_items(&self, visit: &mut Visit<'_>) -> Result<Option<usize>, Fault> {
        let Some(template) = &self.max_items else {
            return Ok(None);
        };
        let most =
            visit.evaluate_in_map(|scope| template.fill_count(MAX_ITEMS_FIELD, "positive integer", scope))?;
        let most = usize::try_from(most.min(MAX_ITEMS))
            .map_err(|_| Failure::new(reserved::ITEM_READER_FAILED, "field MaxItems must be positive"))?;
        Ok((most > 0).then_some(most))
    }

    /// Evaluates the number if it is given by a path.
    pub(super) fn read_numbers(&self, scope: &mut Scope<'_>) -> Result<(), EvaluationError> {
        match self.max_items.as_ref().filter(|most| most.is_path()) {
            Some(most) => most.fill_count(MAX_ITEMS_FIELD, "positive integer", scope).map(|_| ()),
            None => Ok(()),
        }
    }

    /// `Map.Item.Source` for items without an object of their own.
    fn origin(&self, arguments: &Value) -> Source {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let bucket = text("Bucket");
        Source::Object(match self.objects {
            ObjectSet::Listed => format!("S3://{bucket}").into(),
            ObjectSet::Named | ObjectSet::Manifest => format!("S3://{bucket}/{}", text("Key")).into(),
        })
    }
}

fn has(arguments: &Template, name: &str) -> bool {
    match arguments {
        Template::Object(members) => members.iter().any(|(member, _)| &**member == name),
        Template::Constant(value) => value.get(name).is_some(),
        _ => false,
    }
}

fn finish(config: Fields<'_>, (objects, format): (ObjectSet, ItemFormat)) -> Config {
    let max_items = config.map_number("MaxItems", "MaxItemsPath", 0, MAX_ITEMS);
    config.finish(&[]);
    Config { objects, format, max_items }
}

/// The configuration of a reader that lists objects.
fn listed(config: &Fields<'_>) -> Option<(ObjectSet, ItemFormat)> {
    match config.text("Transformation").as_deref() {
        None | Some("NONE") => {
            if config.text("InputType").is_some() {
                let message =
                    "'InputType' needs the transformation 'LOAD_AND_FLATTEN' when objects are listed";
                config.invalid("InputType", message);
            }
            Some((ObjectSet::Listed, ItemFormat::Listing))
        }
        Some("LOAD_AND_FLATTEN") => {
            config.require(&["InputType"]);
            Some((ObjectSet::Listed, written(config, &["CSV", "JSON", "JSONL", "PARQUET"])?))
        }
        Some(_) => {
            config.invalid("Transformation", "Expected 'NONE' or 'LOAD_AND_FLATTEN'");
            None
        }
    }
}

/// The configuration of a reader that reads one object.
fn named(config: &Fields<'_>) -> Option<(ObjectSet, ItemFormat)> {
    match config.text("Transformation").as_deref() {
        None | Some("NONE") => {}
        Some(_) => {
            config.invalid("Transformation", "Only the objects of s3:listObjectsV2 can be transformed")
        }
    }
    let manifest = config.text("ManifestType");
    match manifest.as_deref() {
        None => {
            config.require(&["InputType"]);
            let format = written(config, &["CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"])?;
            Some((ObjectSet::Named, format))
        }
        Some("S3_INVENTORY") => {
            if config.text("InputType").is_some_and(|kind| &*kind != "MANIFEST") {
                config.invalid(
                    "InputType",
                    "'InputType' cannot be given with the manifest type 'S3_INVENTORY'",
                );
            }
            Some((ObjectSet::Named, ItemFormat::Inventory))
        }
        Some("ATHENA_DATA") => {
            config.require(&["InputType"]);
            Some((ObjectSet::Manifest, written(config, &["CSV", "JSONL", "PARQUET"])?))
        }
        Some(_) => {
            config.invalid("ManifestType", "Expected 'ATHENA_DATA' or 'S3_INVENTORY'");
            None
        }
    }
}

/// The format of the objects, which must be one of the input types in `known`.
fn written(config: &Fields<'_>, known: &[&str]) -> Option<ItemFormat> {
    let kind = config.text("InputType")?;
    if !known.contains(&&*kind) {
        config.invalid("InputType", format!("Expected one of [{}]", known.join(", ")));
        return None;
    }
    Some(match &*kind {
        "JSON" => ItemFormat::Json { pointer: pointer(config) },
        "JSONL" => ItemFormat::JsonLines,
        "PARQUET" => ItemFormat::Parquet,
        "MANIFEST" => ItemFormat::Inventory,
        _ => return csv(config),
    })
}

fn pointer(config: &Fields<'_>) -> Option<Arc<str>> {
    let pointer = config.text("ItemsPointer")?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        config.invalid("ItemsPointer", "Expected a JSON Pointer: it begins with '/'");
    }
    if pointer.chars().count() >= MAX_POINTER_CHARS {
        config.invalid("ItemsPointer", "'ItemsPointer' must be shorter than 2000 characters");
    }
    Some(pointer)
}

fn csv(config: &Fields<'_>) -> Option<ItemFormat> {
    if config.has("ManifestType") && !config.has("CSVHeaderLocation") {
        let message = "A manifest of CSV objects without 'CSVHeaderLocation' is not supported";
        config.refuse(Code::NotSupported, Some("CSVHeaderLocation"), message);
        return None;
    }
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
