//! A function that can be called by name: machines call it, or a queue feeds it.

use registry::{Consumer, Function};

/// A function of crmflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NamedFunction {
    Function(Function),
    Consumer(Consumer),
}

impl NamedFunction {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let event_sources = Consumer::ALL.into_iter().map(Self::Consumer);
        Function::ALL.into_iter().map(Self::Function).chain(event_sources)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Function(function) => function.name(),
            Self::Consumer(consumer) => consumer.name(),
        }
    }

    /// The function with this name, or with this resource in the template.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let function = Function::from_name(name).map(Self::Function);
        function.or_else(|| Consumer::from_name(name).map(Self::Consumer))
    }
}
