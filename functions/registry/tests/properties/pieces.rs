//! The result of an input does not depend on its pieces; and no input panics.

use batches::intake::{Format, Settings, Staged};
use kernel::{objects, raw_record::RawRecord};
use proptest::prelude::*;

use crate::{Folder, for_each_line, formats, records, take};

/// The staged records, or the error.
fn staged(settings: Settings, pieces: &[&[u8]]) -> String {
    let folder = Folder::new();
    match take(settings, pieces, &folder.objects) {
        Ok(Staged { received, inline, manifest, chunks }) => {
            assert_eq!(inline.as_ref().map_or(received, |inline| inline.count), received);
            format!("{received} {chunks} {manifest:?} {}", serde_json::to_string(&inline).unwrap())
        }
        Err(error) => format!("{}: {error}", error.name()),
    }
}

fn settings(format: Option<Format>) -> Settings {
    Settings { format, inline: true, max_unpacked: Some(1 << 20), ..Settings::default() }
}

/// Bytes that look like an input, at least in parts.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let list = prop::collection::vec(records(), 0..6);
    let whole = (list, 0..5_u8).prop_map(|(records, form)| match form {
        0 => format!("[{}]", records.join(",")),
        1 => format!("\u{feff}[\r\n{}\r\n]", records.join(" ,\n")),
        2 => records.join("\n"),
        3 => records.join("\r\n\r\n") + "\r\n",
        _ => format!(
            "name,email,optIn\n{}",
            records.iter().map(|record| format!("N,\"{record}\",yes\n")).collect::<String>()
        ),
    });
    let damaged = (whole, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3));
    let damaged = damaged.prop_map(|(text, damage)| {
        let mut bytes = text.into_bytes();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    });
    let any = prop::collection::vec(any::<u8>(), 0..200);
    let marks = "[\\[\\]{}\",:\\\\ntf0-9\n\r ;\t-]{0,60}".prop_map(String::into_bytes);
    let plain = prop_oneof![4 => damaged, 1 => any, 1 => marks];
    (plain, 0..4_u8).prop_map(|(plain, packed)| match packed {
        0 => objects::gzip(&plain),
        1 => {
            let half = plain.len() / 2;
            [objects::gzip(&plain[..half]), objects::gzip(&plain[half..])].concat()
        }
        _ => plain,
    })
}

/// JSON values whose texts are full of record separators.
fn values() -> impl Strategy<Value = serde_json::Value> {
    let text = "[\\\\\"\\[\\]{},:\n\u{e9} a]{0,8}";
    let leaf =
        prop_oneof![text.prop_map(serde_json::Value::from), any::<bool>().prop_map(serde_json::Value::from)];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            prop::collection::vec((text, inner), 0..3).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// The records of a small batch, as received, with their lines.
fn accepted(bytes: &[u8], format: Format) -> Vec<(u64, Vec<u8>)> {
    let folder = Folder::new();
    let staged = take(settings(Some(format)), &[bytes], &folder.objects).unwrap();
    let mut found = Vec::new();
    let each = |line: &[u8]| {
        let record = RawRecord::parse(line)?;
        found.push((record.line, record.raw()));
        Ok(())
    };
    for_each_line(&staged.inline.unwrap(), &folder.objects, each);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn pieces_make_no_difference(
        bytes in inputs(),
        format in formats(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = staged(settings(format), &[&bytes]);
        prop_assert_eq!(&staged(settings(format), &pieces), &whole);
        prop_assert_eq!(&staged(settings(format), &single), &whole);
    }

    /// A list is cut at its own commas, with any content of its records, and JSON lines at their ends.
    #[test]
    fn records_are_what_was_written(values in prop::collection::vec((values(), 0..3_usize), 1..8)) {
        let mut list = String::new();
        let mut line = 1;
        let mut expected = Vec::new();
        for (value, breaks) in &values {
            list.push(if list.is_empty() { '[' } else { ',' });
            list.push_str(&"\n".repeat(*breaks));
            line += *breaks as u64;
            list.push_str(&format!("{value} "));
            expected.push((line, value.to_string().into_bytes()));
        }
        list.push(']');
        prop_assert_eq!(&accepted(list.as_bytes(), Format::Json), &expected);
        let lines: String = values.iter().map(|(value, breaks)| format!("{}{value}\n", "\n".repeat(*breaks))).collect();
        let mut line = 0;
        for ((at, _), (_, breaks)) in expected.iter_mut().zip(&values) {
            line += 1 + *breaks as u64;
            *at = line;
        }
        prop_assert_eq!(&accepted(lines.as_bytes(), Format::Ndjson), &expected);
    }
}
