//! The scope of an expression: `$states`, the variables, the time and the run's randomness.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::inspection::{InspectionCell, Stage};
use crate::rng::Rng;
use crate::value::Value;

/// The variables of a workflow scope. A clone is cheap, and a write to it leaves other clones unchanged.
pub(crate) type Variables = Arc<BTreeMap<Arc<str>, Value>>;

/// All values that an expression can name.
pub(crate) struct Scope<'a> {
    /// `$states.input`, or the `$` of JSONPath.
    pub input: &'a Value,
    pub result: Option<&'a Value>,
    pub error: Option<&'a Value>,
    /// Builds the context object. Only an expression that names it calls this.
    pub context: &'a dyn Fn() -> Value,
    pub variables: &'a Variables,
    pub now: Timestamp,
    pub rng: &'a mut Rng,
    /// The cell for intermediate values in a test.
    pub inspection: Option<&'a InspectionCell>,
}

impl Scope<'_> {
    /// The same scope with another input.
    pub(crate) fn over<'s>(&'s mut self, input: &'s Value) -> Scope<'s> {
        Scope { input, rng: self.rng, ..*self }
    }

    /// Stores an intermediate value, if the run is a test.
    pub(crate) fn inspect(&self, stage: Stage, value: &Value) {
        if let Some(inspection) = self.inspection {
            inspection.borrow_mut().insert(stage, value.clone());
        }
    }

    /// A member of `$states`.
    pub(super) fn member(&self, name: &str) -> Option<Value> {
        match name {
            "input" => Some(self.input.clone()),
            "result" => self.result.cloned(),
            "errorOutput" => self.error.cloned(),
            "context" => Some((self.context)()),
            _ => None,
        }
    }

    /// `$states` with these members only.
    pub(super) fn states(&self, is_named: impl Fn(&str) -> bool) -> Value {
        let names = ["context", "input", "result", "errorOutput"].into_iter().filter(|name| is_named(name));
        names.filter_map(|name| Some((Arc::from(name), self.member(name)?))).collect()
    }
}

/// The optional members of `$states` that an expression can see in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visibility {
    /// `$states.result`: in `Output` and `Assign` of states with a result.
    pub result: bool,
    /// `$states.errorOutput`: in a `Catch`.
    pub error: bool,
}

impl Visibility {
    pub(crate) const INPUT: Self = Self { result: false, error: false };
    pub(crate) const RESULT: Self = Self { result: true, error: false };
    pub(crate) const ERROR: Self = Self { result: false, error: true };
}
