//! Every function that a machine or a queue may call, by name, and the contract suites of all of them together.

pub mod consent_contract;
pub mod consumer;
pub mod event_contract;
pub mod function;

pub use consumer::Consumer;
pub use function::{Function, Host};

/// The crates of this folder, as a log event names them as its target.
pub const CRATES: [&str; 8] =
    ["batches", "contacts", "delivery", "destinations", "events", "kernel", "registry", "replay"];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    #[test]
    fn every_crate_of_the_folder_is_listed() {
        let folders = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
        let found: BTreeSet<_> =
            folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(found, super::CRATES.map(str::to_owned).into());
    }
}
