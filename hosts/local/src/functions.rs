//! The functions of crmflow, as the state machines of this host call them.

use std::sync::Arc;

use futures::FutureExt;
use kernel::Error;
use registry::{Function, Host, function};
use sqlite_store::{SqliteStore, queues::LocalQueue};
use step_functions::{Functions, clock};

/// The function with this name, or with this resource in the template.
pub(crate) fn find(name: &str) -> Option<step_functions::Function> {
    Function::from_name(name).map(of)
}

/// A function, as machines call it.
pub(crate) fn of(function: Function) -> step_functions::Function {
    // A test delivery waits for a destination, and computes almost nothing.
    step_functions::Function { name: function.name(), is_blocking: function != Function::TestDestination }
}

/// All functions, on a host.
pub(crate) fn all(host: Host<SqliteStore, LocalQueue>) -> Functions {
    let call = move |called: step_functions::Function, input: Vec<u8>| {
        let host = host.clone();
        async move {
            let unknown = || Error::BadInput(format!("there is no function {}", called.name));
            let function = Function::from_name(called.name).ok_or_else(unknown)?;
            function::call(function, &input, &host, clock::now()).await
        }
        .boxed()
    };
    Functions { find, call: Arc::new(call) }
}
