//! The program and the API, as helpers of the tests.

pub(crate) mod http;
pub(crate) mod program;
pub(crate) mod stack;
