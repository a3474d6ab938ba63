//! A contact, and the check that makes one of a record: the schema (`schemas/contact.schema.json`, which is the
//! contract) and the syntax of the address.
//!
//! A typed parser decides the common case; the schema explains only the records that it refuses. A property test checks
//! that the two verdicts are equal.

use std::{borrow::Cow, fmt, sync::LazyLock};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{email::EmailKey, extra};
use kernel::{
    fault::{Fault, rule},
    json::Text,
};

/// The JSON Schema of a contact, as in the repository.
pub const SCHEMA: &str = include_str!("../schemas/contact.schema.json");

/// A contact as the schema describes it. Values are spelt as received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contact<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The address, trimmed of white space at its ends.
    #[serde(borrow)]
    pub email: Cow<'a, str>,
    /// Whether they agreed to marketing mail.
    pub opt_in: bool,
    /// Their interests; never empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interests: Option<Vec<Cow<'a, str>>>,
    /// The fields that the schema does not name, except null ones: the text of a JSON object, with sorted names and
    /// unchanged values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Cow<'a, str>>,
    /// The names of the null fields, whose stored values are deleted. `interests` may be one, and any field that the
    /// schema does not name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared: Vec<Cow<'a, str>>,
}

/// Checks one record: the contact and the key of its address, or all of its faults.
pub fn check(record: &str) -> Result<(Contact<'_>, EmailKey), Vec<Fault>> {
    match serde_json::from_str::<Checked<'_>>(record) {
        Ok(Checked(contact)) => match EmailKey::parse(&contact.email) {
            Some(key) => Ok((contact, key)),
            None => Err(vec![not_an_address()]),
        },
        Err(_) => Err(explain(record)),
    }
}

/// All faults of a record by the schema alone; empty if it matches.
pub fn schema_faults(record: &serde_json::Value) -> Vec<Fault> {
    #[expect(clippy::expect_used, reason = "the schema is part of the program, and a test compiles it")]
    static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema = serde_json::from_str(SCHEMA).expect("contact.schema.json is JSON");
        jsonschema::validator_for(&schema).expect("contact.schema.json is a JSON Schema")
    });
    VALIDATOR.iter_errors(record).map(|error| schema_fault(&error)).collect()
}

fn explain(record: &str) -> Vec<Fault> {
    let value: serde_json::Value = match serde_json::from_str(record) {
        Ok(value) => value,
        Err(error) => return vec![Fault::new("", rule::JSON, kernel::json::describe(&error))],
    };
    let mut faults = schema_faults(&value);
    faults.extend(repeated_names(record));
    if value
        .get("email")
        .and_then(|email| email.as_str())
        .is_some_and(|email| EmailKey::parse(email).is_none())
    {
        faults.push(not_an_address());
    }
    faults
}

fn not_an_address() -> Fault {
    Fault::new("/email", rule::EMAIL, "must be an e-mail address")
}

fn schema_fault(error: &jsonschema::ValidationError<'_>) -> Fault {
    use jsonschema::error::{TypeKind, ValidationErrorKind as K};
    let at = error.instance_path().to_string();
    match error.kind() {
        K::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            Fault::new(format!("{at}/{}", pointer_token(name)), "required", "is missing")
        }
        K::Type { kind: TypeKind::Single(kind) } => Fault::new(at, "type", format!("must be of type {kind}")),
        K::Type { kind: TypeKind::Multiple(kinds) } => {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.to_string()).collect();
            Fault::new(at, "type", format!("must be of type {}", kinds.join(" or ")))
        }
        K::MinItems { limit } => Fault::new(at, "minItems", format!("must have at least {limit} item")),
        kind => Fault::new(at, kind.keyword().to_owned(), "does not match the schema"),
    }
}

fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Names that occur twice in the record's own object.
fn repeated_names(record: &str) -> Vec<Fault> {
    serde_json::from_str::<Names>(record).map_or_else(|_| Vec::new(), |names| names.0)
}

struct Names(Vec<Fault>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let (mut seen, mut faults) = (std::collections::HashSet::new(), Vec::new());
                while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if let Some(name) = seen.replace(name) {
                        // The pointer of a field that the schema does not name could contain personal data.
                        let known = ["name", "email", "optIn", "interests"].contains(&name.as_str());
                        let pointer = if known { format!("/{name}") } else { String::new() };
                        faults.push(Fault::new(
                            pointer,
                            rule::UNIQUE_NAMES,
                            "a name stands twice in the object",
                        ));
                    }
                }
                Ok(Names(faults))
            }
        }
        from.deserialize_map(V)
    }
}

/// The typed parser of a record: as strict as the schema, and strict on repeated names.
struct Checked<'a>(Contact<'a>);

impl<'de> Deserialize<'de> for Checked<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Contact<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a contact")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Contact<'de>, A::Error> {
        use serde::de::Error;
        let (mut name, mut email, mut opt_in, mut interests) = (None, None, None, None);
        let mut extra: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "name" => once(&mut name, map.next_value::<Text<'de>>()?.0)?,
                "email" => once(&mut email, map.next_value::<Text<'de>>()?.0)?,
                "optIn" => once(&mut opt_in, map.next_value::<bool>()?)?,
                "interests" => once(&mut interests, map.next_value::<Option<Texts<'de>>>()?)?,
                _ if extra.iter().any(|(other, _)| *other == field) => {
                    return Err(A::Error::custom("repeated"));
                }
                _ => extra.push((field, map.next_value()?)),
            }
        }
        let mut cleared = Vec::new();
        if let Some(None) = interests {
            cleared.push(Cow::Borrowed("interests"));
        }
        extra.retain_mut(|(field, value)| {
            let is_null = value.get() == "null";
            if is_null {
                cleared.push(std::mem::take(field));
            }
            !is_null
        });
        Ok(Contact {
            name: name.ok_or_else(|| A::Error::missing_field("name"))?,
            email: trimmed(email.ok_or_else(|| A::Error::missing_field("email"))?),
            opt_in: opt_in.ok_or_else(|| A::Error::missing_field("optIn"))?,
            interests: interests.flatten().map(|texts| texts.0),
            extra: if extra.is_empty() { None } else { Some(Cow::Owned(extra::text(extra))) },
            cleared,
        })
    }
}

fn once<T, E: serde::de::Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("repeated")),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// A list of at least one string.
struct Texts<'a>(Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts: Vec<Text<'de>> = Vec::deserialize(from)?;
        if texts.is_empty() {
            return Err(serde::de::Error::invalid_length(0, &"at least one"));
        }
        Ok(Self(texts.into_iter().map(|text| text.0).collect()))
    }
}
