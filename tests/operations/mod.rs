//! Operating crmflow: the HTTP API, the command line, the environment, queues, strangers.

mod api;
mod command_line;
pub(crate) mod environment;
pub(crate) mod queues;
mod strangers;
