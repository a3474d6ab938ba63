//! JSONPath as AWS evaluates it: the dialect of the Jayway library, on values that are shared, not copied.
//!
//! | file | what it holds |
//! |---|---|
//! | `parse.rs` | text to path |
//! | `select.rs` | what a path finds, and what it says when it finds nothing |
//! | `filter.rs` | the conditions between `[?(` and `)]` |
//! | `function.rs` | functions at the end of a path: `length()` |
//! | `reference.rs` | paths that name one place, and writing there |

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

/// A path that was parsed.
#[derive(Clone, Debug)]
pub(crate) struct JsonPath {
    source: Arc<str>,
    root: Root,
    steps: Vec<Step>,
    function: Option<PathFunction>,
}

/// Where a path begins.
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
    /// Counted from zero, from the end when negative.
    Index(i64),
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    Filter(Arc<Filter>),
    /// The next step is tried on every value below.
    Scan,
}

impl JsonPath {
    /// Reads a path; `None` when the text is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse::path(text)
    }

    /// The text as it was written.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Whether it begins at the context object.
    pub(crate) fn is_context(&self) -> bool {
        self.root == Root::Context
    }

    /// Whether it can name one place at most; any other path gives a list of what it finds.
    fn is_definite(&self) -> bool {
        let last = self.steps.len().saturating_sub(1);
        self.steps.iter().enumerate().all(|(at, step)| match step {
            Step::Name(_) | Step::Index(_) => true,
            Step::Names(_) => at == last,
            _ => false,
        })
    }

    /// The value it names.
    pub(crate) fn resolve(&self, scope: &Scope<'_>) -> Result<Value, NotFound> {
        self.on_document(scope, Self::find)
    }

    /// The value it names in a payload. As on AWS, an index past the end is null there, where it is a failure
    /// elsewhere.
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

    /// The document it is resolved on, as messages show it.
    pub(crate) fn document(&self, scope: &Scope<'_>) -> Value {
        match &self.root {
            Root::Context => (scope.context)(),
            _ => scope.input.clone(),
        }
    }
}
