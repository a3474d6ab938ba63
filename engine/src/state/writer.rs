//! ResultWriter: the destination and the form of a distributed Map's results. The host writes them.

use std::sync::Arc;

use super::arguments::arguments;
use crate::effect::{Effect, ResultFile, ResultFiles};
use crate::ids::TaskId;
use crate::load::{Fields, ParseContext};
use crate::problem::Code;
use crate::query::Template;
use crate::run::{ChildResult, Fault, MapRun, Visit};
use crate::value::Value;

#[derive(Debug)]
pub(crate) struct Writer {
    destination: Option<Destination>,
    pub transformation: Transformation,
    json_lines: bool,
}

/// The destination of the results.
#[derive(Debug)]
struct Destination {
    resource: Arc<str>,
    arguments: Template,
}

/// The stored part of a succeeded child's result. A failed child's result is always its full report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transformation {
    /// The full report on the child's execution.
    None,
    /// The child's output.
    #[default]
    Compact,
    /// The child's output, or its items if it is an array.
    Flatten,
}

/// A write that the host has started.
#[derive(Debug)]
pub(crate) struct StartedWrite {
    pub id: TaskId,
    /// The Map state's output after the write.
    pub output: Value,
}

impl Writer {
    pub(crate) fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        let config = fields.object("WriterConfig").map(config);
        let resource = fields.text("Resource");
        if let Some(resource) = &resource {
            if resource.ends_with(":states:::s3:putObject") {
                context.check_resource(&fields, resource);
            } else {
                fields.invalid("Resource", "A ResultWriter's resource is s3:putObject");
            }
        }
        let arguments = if resource.is_some() { Some(arguments(&fields)?) } else { None };
        if resource.is_none() && config.is_none() {
            fields.invalid(
                "WriterConfig",
                "'ResultWriter' needs 'WriterConfig', or 'Resource' and where to write",
            );
        }
        let (transformation, json_lines) = config.unwrap_or((Transformation::None, false));
        if resource.is_none() && json_lines {
            let message = "'JSONL' is not supported for results that are not written to S3";
            fields.refuse(Code::NotSupported, Some("WriterConfig"), message);
        }
        fields.finish(&[]);
        let destination = resource.zip(arguments);
        let destination = destination.map(|(resource, arguments)| Destination { resource, arguments });
        Some(Self { destination, transformation, json_lines })
    }

    pub(super) fn has_destination(&self) -> bool {
        self.destination.is_some()
    }

    pub(crate) fn resource(&self) -> Option<&str> {
        self.destination.as_ref().map(|destination| &*destination.resource)
    }

    /// Asks the host to write the results; `None`: the writer has no destination.
    pub(crate) fn start(
        &self,
        visit: &mut Visit<'_>,
        run: &MapRun,
        results: Vec<ChildResult>,
    ) -> Result<Option<StartedWrite>, Fault> {
        let Some(Destination { resource, arguments }) = &self.destination else {
            return Ok(None);
        };
        let arguments = visit.evaluate_in_map(|scope| arguments.fill("ResultWriter/Arguments", scope))?;
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let bucket: Arc<str> = text("Bucket").into();
        let folder = folder(text("Prefix"), &run.arn);
        let files = self.files(&folder, &bucket, run, results);
        let key = format!("{folder}/manifest.json");
        let details =
            Value::from([("Bucket", Value::String(Arc::clone(&bucket))), ("Key", Value::string(key))]);
        let output = Value::from([
            ("MapRunArn", Value::String(Arc::clone(&run.arn))),
            ("ResultWriterDetails", details),
        ]);
        let id = visit.register_new_task();
        visit.effect(Effect::WriteResults(ResultFiles {
            id,
            resource: Arc::clone(resource),
            bucket,
            files,
            state: Arc::clone(&visit.state.name),
            execution: visit.execution(),
        }));
        Ok(Some(StartedWrite { id, output }))
    }

    /// One file per final status of the children, and the manifest that lists the files.
    fn files(
        &self,
        folder: &str,
        bucket: &Arc<str>,
        run: &MapRun,
        results: Vec<ChildResult>,
    ) -> Vec<ResultFile> {
        let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| result.succeeded);
        let mut files = Vec::new();
        let mut listed = |status: &str, results: Vec<ChildResult>| {
            let ending = if self.json_lines { "jsonl" } else { "json" };
            let file = (!results.is_empty()).then(|| ResultFile {
                key: format!("{folder}/{status}_0.{ending}"),
                body: self.text(self.transformation.list(results)),
            });
            let entry = file.iter().map(|file| {
                let size = Value::from(file.body.len());
                Value::from([("Key", Value::string(file.key.as_str())), ("Size", size)])
            });
            let entry = Value::from(entry.collect::<Vec<_>>());
            files.extend(file);
            entry
        };
        let (failed, succeeded) = (listed("FAILED", bad), listed("SUCCEEDED", good));
        let manifest = Value::from([
            ("DestinationBucket", Value::String(Arc::clone(bucket))),
            ("MapRunArn", Value::String(Arc::clone(&run.arn))),
            (
                "ResultFiles",
                Value::from([("FAILED", failed), ("PENDING", Vec::new().into()), ("SUCCEEDED", succeeded)]),
            ),
        ]);
        let key = format!("{folder}/manifest.json");
        files.push(ResultFile { key, body: manifest.to_string() });
        files
    }

    fn text(&self, results: Vec<Value>) -> String {
        if self.json_lines {
            results.iter().map(|result| format!("{result}\n")).collect()
        } else {
            Value::from(results).to_string()
        }
    }
}

impl Transformation {
    /// The results of the children as one list.
    pub(crate) fn list(self, results: Vec<ChildResult>) -> Vec<Value> {
        let mut list = Vec::with_capacity(results.len());
        for ChildResult { succeeded, value } in results {
            match &value {
                Value::Array(items) if succeeded && self == Self::Flatten => {
                    list.extend(items.iter().cloned())
                }
                _ => list.push(value),
            }
        }
        list
    }
}

/// The transformation, and whether the file format is JSON Lines.
fn config(fields: Fields<'_>) -> (Transformation, bool) {
    let json_lines = match fields.text("OutputType").as_deref() {
        None | Some("JSON") => false,
        Some("JSONL") => true,
        Some(_) => {
            fields.invalid("OutputType", "Expected 'JSON' or 'JSONL'");
            false
        }
    };
    let transformation = match fields.text("Transformation").as_deref() {
        None | Some("NONE") => Transformation::None,
        Some("COMPACT") => Transformation::Compact,
        Some("FLATTEN") => Transformation::Flatten,
        Some(_) => {
            fields.invalid("Transformation", "Expected 'NONE', 'COMPACT' or 'FLATTEN'");
            Transformation::None
        }
    };
    fields.finish(&[]);
    (transformation, json_lines)
}

/// The folder of the results: the prefix, and the id at the end of the Map run's ARN.
fn folder(prefix: &str, run: &str) -> String {
    let id = run.rsplit(':').next().unwrap_or(run);
    if prefix.is_empty() { id.to_owned() } else { format!("{}/{id}", prefix.trim_end_matches('/')) }
}
