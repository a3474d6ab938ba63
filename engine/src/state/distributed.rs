//! The fields that only a distributed Map has. `map_run.rs` has its run.

use std::sync::Arc;

use super::arguments::optional;
use super::batcher::Batcher;
use super::reader::Reader;
use super::writer::{Transformation, Writer};
use crate::load::{Fields, ParseContext};
use crate::problem::Code;
use crate::query::{EvaluationError, Scope};

#[derive(Debug)]
pub(crate) struct Distributed {
    pub express: bool,
    pub label: Option<Arc<str>>,
    pub reader: Option<Reader>,
    pub batcher: Option<Batcher>,
    pub(super) writer: Option<Writer>,
}

impl Distributed {
    pub(crate) fn parse(fields: &Fields<'_>, context: &ParseContext<'_>, express: bool) -> Option<Self> {
        let reader = fields.object("ItemReader").map(|reader| Reader::parse(reader, context));
        let writer = fields.object("ResultWriter").map(|writer| Writer::parse(writer, context));
        Some(Self {
            express,
            label: label(fields),
            batcher: fields.object("ItemBatcher").map(Batcher::parse),
            reader: optional(reader)?,
            writer: optional(writer)?,
        })
    }

    /// Evaluates the numbers that are given by a path.
    pub(super) fn read_numbers(&self, scope: &mut Scope<'_>) -> Result<(), EvaluationError> {
        self.reader.as_ref().map_or(Ok(()), |reader| reader.read_numbers(scope))?;
        self.batcher.as_ref().map_or(Ok(()), |batcher| batcher.read_numbers(scope))
    }

    /// Whether the Map writes its results to storage and outputs only their location.
    pub(super) fn writes(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::has_destination)
    }

    /// The resource that writes the results.
    pub(crate) fn written_with(&self) -> Option<&str> {
        self.writer.as_ref().and_then(Writer::resource)
    }

    /// The part of a succeeded child's result that the Map stores.
    pub(crate) fn transformation(&self) -> Transformation {
        self.writer.as_ref().map_or(Transformation::default(), |writer| writer.transformation)
    }
}

fn label(fields: &Fields<'_>) -> Option<Arc<str>> {
    let label = fields.text("Label")?;
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"".contains(c);
    let why = if label.is_empty() {
        "Label cannot be empty"
    } else if label.chars().count() > 40 {
        "Label cannot exceed 40 characters"
    } else if label.chars().any(forbidden) {
        "Label contains a character that is not allowed"
    } else {
        return Some(label);
    };
    fields.refuse(Code::InvalidLabelName, Some("Label"), why);
    None
}
