//! The functions that tasks may call, as the host gives them.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Whether it computes for a while. One that does not waits for another system, and needs no thread of its own.
    pub is_blocking: bool,
}

/// The function with a name: its own, or that of its resource in the template.
pub type Find = fn(&str) -> Option<Function>;

/// Calls a function: JSON in, JSON out.
pub type Call =
    Arc<dyn Fn(Function, Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, kernel::Error>> + Send + Sync>;

/// Every function that tasks may call.
#[derive(Clone)]
pub struct Functions {
    /// Finds one.
    pub find: Find,
    /// Calls one.
    pub call: Call,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions").finish_non_exhaustive()
    }
}
