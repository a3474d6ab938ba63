//! The items of a distributed Map: the objects with the items, and their formats.

mod csv;
mod json;
mod parquet;

use std::sync::Arc;

use bytes::Bytes;
use kernel::objects::{Listed, Objects, gunzip};
use states::{Failure, ItemFormat, ItemSource, Items, ObjectSet, ResultFiles, Value};

/// The first bytes of what gzip has packed.
const GZIP: [u8; 2] = [0x1F, 0x8B];
/// The first bytes of what Zstandard has packed.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// The arguments that a reader accepts here. Files have no versions, and everything has one owner.
const ARGUMENTS: [&str; 5] = ["Bucket", "ExpectedBucketOwner", "Key", "Prefix", "StartAfter"];

/// Objects, and the names of the buckets that they are in.
pub(crate) struct Buckets<'h> {
    pub(crate) objects: &'h Objects,
    pub has: &'h (dyn Fn(&str) -> bool + Sync),
}

impl Buckets<'_> {
    /// Reads items.
    pub(crate) async fn read(&self, source: ItemSource) -> Result<Items, Failure> {
        self.collect(source).await.map_err(|why| Failure::new("States.ItemReaderFailed", why))
    }

    /// Writes results.
    pub(crate) async fn write(&self, results: ResultFiles) -> Result<(), Failure> {
        let failed = |why: String| Failure::new("States.ResultWriterFailed", why);
        self.holds(&results.bucket).map_err(failed)?;
        for file in results.files {
            let put = self.objects.put(&file.key, file.body).await;
            put.map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    async fn collect(&self, source: ItemSource) -> Result<Items, String> {
        let given = source.arguments.as_object().into_iter().flat_map(states::Object::iter);
        if let Some((name, _)) = given.into_iter().find(|(name, _)| !ARGUMENTS.contains(&&***name)) {
            return Err(format!("this host reads without '{name}'"));
        }
        let text = |name: &str| source.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let (bucket, key) = (text("Bucket").to_owned(), text("Key").to_owned());
        let (prefix, after) = (text("Prefix").to_owned(), text("StartAfter").to_owned());
        let most = source.max_items.unwrap_or(usize::MAX);
        match (source.objects, source.format) {
            (ObjectSet::Named, ItemFormat::Inventory) => {
                let manifest = self.get(&bucket, &key).await?;
                let inventory = json::inventory(&key, &manifest)?;
                let files = inventory.files.into_iter().map(|file| (inventory.bucket.clone(), file));
                self.each(files, &inventory.format, most).await.map(|items| items.values.into())
            }
            (ObjectSet::Named, format) => {
                let bytes = self.get(&bucket, &key).await?;
                unpack(key, bytes, format, most).await
            }
            (ObjectSet::Listed, ItemFormat::Listing) => {
                let found = self.list(&bucket, &prefix, &after).await?;
                Ok(found.iter().take(most).map(description).collect::<Vec<_>>().into())
            }
            (ObjectSet::Listed, format) => {
                let found = self.list(&bucket, &prefix, &after).await?;
                let files = found.into_iter().map(|object| (bucket.clone(), object.key));
                self.each(files, &format, most).await
            }
            (ObjectSet::Manifest, format) => {
                let manifest = self.get(&bucket, &key).await?;
                let files = json::manifest(&key, &manifest)?;
                self.each(files.into_iter(), &format, most).await
            }
        }
    }

    /// The items of objects, one after the other; each knows the object it comes from.
    async fn each(
        &self,
        files: impl Iterator<Item = (String, String)>,
        format: &ItemFormat,
        most: usize,
    ) -> Result<Items, String> {
        let mut all = Items::default();
        for (bucket, key) in files {
            let left = most - all.values.len();
            if left == 0 {
                break;
            }
            let bytes = self.get(&bucket, &key).await?;
            let items = unpack(key.clone(), bytes, format.clone(), left).await?;
            all.sources.push((all.values.len(), format!("S3://{bucket}/{key}").into()));
            all.values.extend(items.values);
        }
        Ok(all)
    }

    fn holds(&self, bucket: &str) -> Result<(), String> {
        if (self.has)(bucket) { Ok(()) } else { Err(format!("the bucket {bucket} does not exist")) }
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes, String> {
        self.holds(bucket)?;
        self.objects.get(key).await.map_err(|error| error.to_string())
    }

    /// Objects whose keys begin with a text, which need not end where a folder does.
    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, String> {
        self.holds(bucket)?;
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        let mut found = self.objects.list(folder).await.map_err(|error| error.to_string())?;
        found.retain(|object| object.key.starts_with(prefix) && object.key.as_str() > after);
        Ok(found)
    }
}

/// The items of an object, decoded on a thread that may block.
async fn unpack(key: String, bytes: Bytes, format: ItemFormat, most: usize) -> Result<Items, String> {
    let decoded = tokio::task::spawn_blocking(move || {
        let bytes = plain(&key, bytes)?;
        let mut items = decode(&key, bytes, &format, most)?;
        items.truncate(most);
        Ok(items)
    });
    decoded.await.map_err(|_| "crmflow is stopping".to_owned())?
}

fn decode(key: &str, bytes: Bytes, format: &ItemFormat, most: usize) -> Result<Items, String> {
    match format {
        ItemFormat::Json { pointer } => json::document(key, &bytes, pointer.as_deref()),
        ItemFormat::JsonLines => json::lines(key, &bytes, most).map(Items::from),
        ItemFormat::Csv { headers, delimiter } => {
            csv::rows(key, &bytes, headers.as_deref(), *delimiter, most).map(Items::from)
        }
        ItemFormat::Parquet => parquet::rows(key, bytes, most).map(Items::from),
        ItemFormat::Listing | ItemFormat::Inventory => Err(format!("{key} holds no items")),
    }
}

/// The bytes without the packing around them.
fn plain(key: &str, bytes: Bytes) -> Result<Bytes, String> {
    if bytes.starts_with(&GZIP) {
        gunzip(key, &bytes).map(Bytes::from).map_err(|error| error.to_string())
    } else if bytes.starts_with(&ZSTD) {
        zstd::decode_all(&*bytes).map(Bytes::from).map_err(|_| format!("{key} cannot be unpacked"))
    } else {
        Ok(bytes)
    }
}

/// The description of an object in a listing of S3.
fn description(object: &Listed) -> Value {
    let mut members: Vec<(Arc<str>, Value)> = Vec::new();
    members.extend(object.e_tag.as_deref().map(|tag| ("Etag".into(), tag.into())));
    members.push(("Key".into(), object.key.as_str().into()));
    members.push(("LastModified".into(), object.modified.into()));
    members.push(("Size".into(), object.size.into()));
    members.push(("StorageClass".into(), "STANDARD".into()));
    members.into_iter().collect()
}

#[cfg(test)]
mod tests;
