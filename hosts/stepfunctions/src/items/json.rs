//! Items in JSON, and the manifests that name objects.

use serde::Deserialize;
use states::{ItemFormat, Items, Value};

/// The items of a document: a list or an object, perhaps inside it.
pub(super) fn document(key: &str, bytes: &[u8], pointer: Option<&str>) -> Result<Items, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|_| format!("{key} is not JSON"))?;
    let mut place = &document;
    for step in pointer.unwrap_or_default().split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let below = match place {
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            place => place.get(&step),
        };
        place = below.ok_or_else(|| format!("{key} has nothing at {}", pointer.unwrap_or_default()))?;
    }
    Items::of(place).ok_or_else(|| format!("{key} holds no array or object of items"))
}

/// A value a line.
pub(super) fn lines(key: &str, bytes: &[u8], most: usize) -> Result<Vec<Value>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let values = lines.take(most).enumerate();
    values
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|_| format!("{key} is not JSONL: value {}", index + 1))
        })
        .collect()
}

/// Objects that an Athena manifest names, by bucket and key.
pub(super) fn manifest(key: &str, bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{key} is not UTF-8"))?;
    let lines = text.lines().map(|line| line.trim().trim_matches('"')).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let place = line.strip_prefix("s3://").and_then(|place| place.split_once('/'));
            let (bucket, key) = place.ok_or_else(|| format!("{key} names what is not an object: {line}"))?;
            Ok((bucket.to_owned(), key.to_owned()))
        })
        .collect()
}

/// The files of an S3 inventory.
pub(super) struct Inventory {
    pub(super) bucket: String,
    pub(super) files: Vec<String>,
    pub(super) format: ItemFormat,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    key: String,
}

/// Reads the `manifest.json` of an inventory.
pub(super) fn inventory(key: &str, bytes: &[u8]) -> Result<Inventory, String> {
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|_| format!("{key} is not the manifest of an inventory"))?;
    if manifest.file_format != "CSV" {
        return Err(format!("{key} is of an inventory in {}; CSV can be read", manifest.file_format));
    }
    let headers = manifest.file_schema.split(',').map(|name| name.trim().into()).collect();
    Ok(Inventory {
        bucket: manifest.destination_bucket.rsplit(':').next().unwrap_or_default().to_owned(),
        files: manifest.files.into_iter().map(|file| file.key).collect(),
        format: ItemFormat::Csv { headers: Some(headers), delimiter: ',' },
    })
}
