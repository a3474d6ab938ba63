//! Every operation of every AWS service, by its names in an `aws-sdk` integration.
//!
//! `engine/tools/operations.py` writes the table `operations.zz` and describes its content.

use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;

use flate2::read::ZlibDecoder;

const PACKED: &[u8] = include_bytes!("operations.zz");

/// Stands for every operation of a service.
const ANY: &str = "*";

/// Whether a service has an action, both in an ARN's spelling.
pub(super) fn has(service: &str, action: &str) -> bool {
    action.starts_with(|first: char| first.is_ascii_lowercase()) && operation(service, action).is_some()
}

/// The shape of an operation's answer, in the table's notation.
pub(super) fn answer(service: &str, action: &str) -> Option<&'static str> {
    operation(service, action).filter(|answer| !answer.is_empty())
}

/// Every known answer.
#[cfg(test)]
pub(super) fn answers() -> impl Iterator<Item = &'static str> {
    let lines = services().values().flat_map(|operations| operations.lines());
    lines.filter_map(|line| line.find('(').map(|at| &line[at..]))
}

/// The text behind an operation's name.
fn operation(service: &str, action: &str) -> Option<&'static str> {
    let service = service.to_ascii_lowercase().replace('-', "");
    services().get(&*service)?.lines().find_map(|line| {
        let (name, answer) = line.split_at(line.find('(').unwrap_or(line.len()));
        if line == ANY { Some("") } else { is_same(action, name).then_some(answer) }
    })
}

/// Whether an action is this operation, whose name begins with a capital. SDKs spell abbreviations in two
/// ways (`describeDBInstances`, `describeDbInstances`).
fn is_same(action: &str, name: &str) -> bool {
    let abbreviates = || {
        let capitals = |pair: &[u8]| pair.iter().all(u8::is_ascii_uppercase);
        name.as_bytes().windows(2).any(capitals)
    };
    action.eq_ignore_ascii_case(name) && (action.get(1..) == name.get(1..) || abbreviates())
}

/// The operations of each service, one per line, by each name of the service.
fn services() -> &'static HashMap<&'static str, &'static str> {
    static TEXT: OnceLock<String> = OnceLock::new();
    static SERVICES: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    SERVICES.get_or_init(|| {
        let text = TEXT.get_or_init(unpacked);
        let blocks = text.strip_prefix('@').unwrap_or_default().split("\n@");
        let blocks = blocks.filter_map(|block| block.split_once('\n'));
        blocks.flat_map(|(names, operations)| names.split(' ').map(move |name| (name, operations))).collect()
    })
}

fn unpacked() -> String {
    let mut text = String::new();
    match ZlibDecoder::new(PACKED).read_to_string(&mut text) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}
