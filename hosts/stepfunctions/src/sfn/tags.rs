//! Tags of state machines and activities.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{
    Endpoint,
    arn::{self, Resource},
    error::{Error, Kind},
    validate::Fields,
};
use crate::machines::{Tags, put_tags};

/// The most tags of a resource.
const MAX_TAGS: usize = 50;

/// Reads the tags of a request.
pub(super) fn read(fields: &mut Fields) -> Tags {
    let tag = |fields: &mut Fields| {
        (fields.text("key", 1..=128).unwrap_or_default(), fields.text("value", 0..=256).unwrap_or_default())
    };
    fields.structures("tags", tag).unwrap_or_default()
}

/// Refuses more tags than there may be.
pub(super) fn check(tags: &Tags) -> Result<(), Error> {
    if tags.len() > MAX_TAGS { Err(too_many()) } else { Ok(()) }
}

fn too_many() -> Error {
    Error::new(Kind::TooManyTags, format!("A resource may have at most {MAX_TAGS} tags"))
}

/// `TagResource`
pub(super) async fn tag(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let resource = fields.arn("resourceArn");
    let tags = read(&mut fields);
    fields.finish()?;
    endpoint.tagged(&resource)?;
    let fits = endpoint.store().writer.write(move |connection| {
        let before = "SELECT key FROM tags WHERE arn = ?1";
        let mut before = connection.prepare_cached(before)?;
        let before = before.query_map([&resource], |row| row.get(0))?;
        let mut keys: BTreeSet<String> = before.collect::<Result<_, _>>()?;
        keys.extend(tags.iter().map(|(key, _)| key.clone()));
        if keys.len() > MAX_TAGS {
            return Ok(false);
        }
        put_tags(connection, &resource, &tags)?;
        Ok(true)
    });
    if fits.await? { Ok(json!({})) } else { Err(too_many()) }
}

/// `UntagResource`
pub(super) async fn untag(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let resource = fields.arn("resourceArn");
    let keys = fields.texts("tagKeys");
    if keys.is_none() {
        fields.missing("tagKeys");
    }
    fields.finish()?;
    endpoint.tagged(&resource)?;
    let removed = endpoint.store().writer.write(move |connection| {
        let mut remove = connection.prepare_cached("DELETE FROM tags WHERE arn = ?1 AND key = ?2")?;
        for key in keys.iter().flatten() {
            remove.execute([&resource, key])?;
        }
        Ok(())
    });
    removed.await?;
    Ok(json!({}))
}

/// `ListTagsForResource`
pub(super) fn list(endpoint: &Endpoint, mut fields: Fields) -> Result<Json, Error> {
    let resource = fields.arn("resourceArn");
    fields.finish()?;
    endpoint.tagged(&resource)?;
    let tags: Vec<Json> = endpoint.store().readers.with(|connection| {
        let mut tags =
            connection.prepare_cached("SELECT key, value FROM tags WHERE arn = ?1 ORDER BY key")?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(json!({ "key": row.get::<_, String>(0)?, "value": row.get::<_, String>(1)? }))
        };
        tags.query_map([&resource], read)?.collect()
    })?;
    Ok(json!({ "tags": tags }))
}

impl Endpoint {
    /// Refuses what is not there to be tagged.
    fn tagged(&self, resource: &str) -> Result<(), Error> {
        let is_there = match arn::resource(resource)? {
            Resource::Machine => self.machines().find(resource)?.is_some(),
            Resource::Activity => self.activity(resource)?.is_some(),
            Resource::Qualified => false,
            other => return Err(arn::out_of_place(&other)),
        };
        if is_there { Ok(()) } else { Err(Error::no_resource(resource)) }
    }
}
