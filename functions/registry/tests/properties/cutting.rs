//! Cutting: every record is in one chunk, those of one address in the same, each with its index and its line.

use std::collections::{BTreeMap, HashMap};

use batches::{
    intake::{CHUNK_BYTES, Format, Manifest, Settings},
    stored,
};
use contacts::email::EmailKey;
use kernel::{Objects, raw_record::RawRecord};
use proptest::prelude::*;

use crate::{Folder, batch, block_on, for_each_line, records, take};

/// A record of a chunk.
#[derive(Debug)]
struct Cut {
    chunk: u32,
    line: u64,
    raw: Vec<u8>,
}

/// The records of all chunks by their index.
fn read(manifest: &str, objects: &Objects) -> BTreeMap<u64, Cut> {
    let mut found = BTreeMap::new();
    for chunk in block_on(Manifest::read(manifest, objects)).unwrap().chunks {
        let mut last = None;
        let mut count = 0;
        let each = |line: &[u8]| {
            let record = RawRecord::parse(line)?;
            assert!(last < Some(record.index), "the order within a chunk is that of the input");
            last = Some(record.index);
            count += 1;
            let cut = Cut { chunk: chunk.chunk, line: record.line, raw: record.raw() };
            assert!(found.insert(record.index, cut).is_none(), "a record is in one chunk");
            Ok(())
        };
        for_each_line(&chunk.records, objects, each);
        assert_eq!(count, chunk.records.count);
    }
    found
}

fn key(record: &[u8]) -> Option<EmailKey> {
    let value: serde_json::Value = serde_json::from_slice(record).ok()?;
    EmailKey::parse(value.get("email")?.as_str()?)
}

/// Cuts records of unannounced sizes: small ones, then large ones, and the first addresses once more.
#[track_caller]
fn check_bounded(spool: Option<&std::path::Path>) {
    let folder = Folder::new();
    let record = |n: u64, size: usize| {
        format!(
            "{{\"name\":\"N\",\"email\":\"p{n}@fat.example\",\"optIn\":true,\"x\":\"{}\"}}\n",
            "x".repeat(size)
        )
    };
    let sizes = (0..2_000)
        .map(|n| (n, 100))
        .chain((2_000..2_900).map(|n| (n, 50_000)))
        .chain((0..100).map(|n| (n, 9)));
    let text: String = sizes.map(|(n, size)| record(n, size)).collect();
    let settings =
        Settings { format: Some(Format::Ndjson), spool: spool.map(ToOwned::to_owned), ..Settings::default() };
    let staged = take(settings, &[text.as_bytes()], &folder.objects).unwrap();
    let found = read(staged.manifest.as_deref().unwrap(), &folder.objects);
    assert_eq!((staged.received, found.len()), (3_000, 3_000));
    assert!(
        found.values().map(|cut| &cut.raw).eq(text.lines().map(str::as_bytes).collect::<Vec<_>>().iter())
    );
    let mut bytes = HashMap::new();
    found.values().for_each(|cut| *bytes.entry(cut.chunk).or_insert(0) += cut.raw.len() as u64);
    assert!(bytes.len() > 2 && bytes.values().all(|&bytes| bytes < 2 * CHUNK_BYTES), "{bytes:?}");
    for twin in 0..100 {
        assert_eq!(found[&twin].chunk, found[&(twin + 2_900)].chunk, "one address is in one chunk");
    }
    let index_key = stored::chunk_index_key(&batch().tenant, batch().batch_id);
    let index = block_on(folder.objects.get(&index_key)).unwrap();
    let chunks: Vec<u8> = found.values().flat_map(|cut| cut.chunk.to_le_bytes()).collect();
    assert_eq!(index, chunks);
}

#[test]
fn chunks_are_bounded_by_bytes() {
    check_bounded(None);
    check_bounded(Some(tempfile::TempDir::new().unwrap().path()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn chunks_hold_every_record_once(
        records in prop::collection::vec((records(), 0..3_usize), 1..60),
        chunks in 1..40_u64,
        spooled in any::<bool>(),
    ) {
        let text: String = records.iter().map(|(record, blank)| format!("{}{record}\n", "\n".repeat(*blank))).collect();
        let folder = Folder::new();
        let spool = tempfile::TempDir::new().unwrap();
        let settings = Settings {
            format: Some(Format::Ndjson),
            // The cutter expects as many records more as the bytes to follow suggest.
            size: Some(text.len() as u64 * 20_000 * chunks / records.len() as u64),
            spool: spooled.then(|| spool.path().to_owned()),
            ..Settings::default()
        };
        let staged = take(settings, &[text.as_bytes()], &folder.objects).unwrap();
        prop_assert_eq!(staged.received, records.len() as u64);
        let found = read(staged.manifest.as_deref().unwrap(), &folder.objects);
        prop_assert_eq!(found.len(), records.len());
        let index_key = stored::chunk_index_key(&batch().tenant, batch().batch_id);
        let index = block_on(folder.objects.get(&index_key)).unwrap();
        let mut chunk_of = HashMap::new();
        let mut line = 0;
        for ((n, cut), (record, blank)) in found.iter().zip(&records) {
            line += 1 + *blank as u64;
            prop_assert_eq!(cut.line, line);
            prop_assert_eq!(&cut.raw, record.as_bytes());
            let at = usize::try_from(*n).unwrap() * 4;
            prop_assert_eq!(&index[at..at + 4], cut.chunk.to_le_bytes());
            if let Some(key) = key(record.as_bytes()) {
                prop_assert_eq!(*chunk_of.entry(key).or_insert(cut.chunk), cut.chunk);
            }
        }
    }
}
