//! JSONPath as AWS evaluates it: the dialect of the Jayway library, on shared values without copies.
//!
//! | file | content |
//! |---|---|
//! | `parse.rs` | text to path |
//! | `select.rs` | the search of a path, and the errors of a path without a value |
//! | `filter.rs` | the conditions between `[?(` and `)]` |
//! | `function.rs` | functions at the end of a path: `length()` |
//! | `reference.rs` | paths that name one place, and writes to it |

mod filter;
mod function;
mod parse;
mod reference;
mod select;

use std::sync::Arc;

use filter::Filter;
use function::PathFunction;

use super::scope::Scope;
use crate::value::Value;

pub(crate) use reference::ReferencePath;
pub(crate) use select::NotFound;

#[derive(Clone, Debug)]
pub(crate) struct JsonPath {
    source: Arc<str>,
    root: Root,
    steps: Vec<Step>,
    function: Option<PathFunction>,
}

/// The start of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    /// `$`
    Input,
    /// `$$`
    Context,
    /// `$name`
    Variable(Arc<str>),
    /// `@`, in a filter
    Item,
}

#[derive(Clone, Debug)]
enum Step {
    Name(Arc<str>),
    Names(Vec<Arc<str>>),
    /// Counted from zero, or from the end if negative.
    Index(i64),
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    Filter(Arc<Filter>),
    /// Applies the next step to every value below.
    Scan,
}

impl JsonPath {
    /// Parses a path; `None`: the text is no path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse::path(text)
    }

    /// The source text.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Whether the path begins at the context object.
    pub(crate) fn is_context(&self) -> bool {
        self.root == Root::Context
    }

    /// Whether the path names at most one value. Any other path gives a list.
    fn is_definite(&self) -> bool {
        let last = self.steps.len().saturating_sub(1);
        self.steps.iter().enumerate().all(|(at, step)| match step {
            Step::Name(_) | Step::Index(_) => true,
            Step::Names(_) => at == last,
            _ => false,
        })
    }

    /// The value of the path.
    pub(crate) fn resolve(&self, scope: &Scope<'_>) -> Result<Value, NotFound> {
        self.on_document(scope, Self::find)
    }

    /// The value of the path in a payload. As on AWS, an index past the end gives null there; elsewhere it
    /// fails.
    pub(crate) fn resolve_with_nulls(&self, scope: &Scope<'_>) -> Result<Value, NotFound> {
        self.on_document(scope, Self::find_with_nulls)
    }

    fn on_document(
        &self,
        scope: &Scope<'_>,
        find: impl FnOnce(&Self, &Value) -> Result<Value, NotFound>,
    ) -> Result<Value, NotFound> {
        match &self.root {
            Root::Context => find(self, &(scope.context)()),
            Root::Variable(name) => match scope.variables.get(name) {
                Some(value) => find(self, value),
                None => Err(NotFound::Other(format!("No results for path: ${name}"))),
            },
            Root::Input | Root::Item => find(self, scope.input),
        }
    }

    /// The document of the path, for messages.
    pub(crate) fn document(&self, scope: &Scope<'_>) -> Value {
        match &self.root {
            Root::Context => (scope.context)(),
            _ => scope.input.clone(),
        }
    }
}
