//! Helpers that the parts of a distributed Map share to read their fields.

use crate::load::Fields;
use crate::query::{Language, Template, Visibility};

/// Turns `Some(None)`, a field with a problem, into `None`.
pub(super) fn optional<T>(parsed: Option<Option<T>>) -> Option<Option<T>> {
    parsed.map_or(Some(None), |parsed| parsed.map(Some))
}

/// The arguments of a reader or a writer.
pub(super) fn arguments(fields: &Fields<'_>) -> Option<Template> {
    let field = match fields.language() {
        Language::JsonPath => "Parameters",
        Language::Jsonata => "Arguments",
    };
    fields.require(&[field]);
    fields.template_of(field, "Object", Visibility::INPUT, |value| value.as_object().is_some())
}
