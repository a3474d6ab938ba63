//! The fields of an event by their names at each ingest endpoint, with unchanged values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use kernel::{
    fault::{Fault, rule},
    json::{self, Text},
    json_text,
    provenance::Source,
};

/// The meaning of an event's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    MessageId,
    UserId,
    AnonymousId,
    /// The event's name.
    Event,
    /// `type`: the call, or another name for `event`.
    Type,
    /// The name of a page or screen.
    Name,
    Timestamp,
    OriginalTimestamp,
    SentAt,
    ReceivedAt,
    Metadata,
    Traits,
    Context,
}

const FIELD_COUNT: usize = 13;

/// The names of seeds 000, 003 and 004 (design, contract 1). The first name of each field is the canonical one.
const CANONICAL: &[(&str, Field)] = &[
    ("userId", Field::UserId),
    ("event", Field::Event),
    ("timestamp", Field::Timestamp),
    ("metadata", Field::Metadata),
    ("traits", Field::Traits),
    ("context", Field::Context),
    ("messageId", Field::MessageId),
    ("anonymousId", Field::AnonymousId),
    ("type", Field::Type),
    ("user_id", Field::UserId),
    ("event_type", Field::Event),
    ("eventType", Field::Event),
    ("event_name", Field::Event),
    ("eventName", Field::Event),
    ("event_timestamp", Field::Timestamp),
    ("eventTimestamp", Field::Timestamp),
    ("occurred_at", Field::Timestamp),
    ("occurredAt", Field::Timestamp),
    ("properties", Field::Metadata),
    ("user_traits", Field::Traits),
    ("userTraits", Field::Traits),
    ("message_id", Field::MessageId),
    ("event_id", Field::MessageId),
    ("eventId", Field::MessageId),
    ("anonymous_id", Field::AnonymousId),
];

/// The names of Segment's specification.
const SEGMENT: &[(&str, Field)] = &[
    ("userId", Field::UserId),
    ("event", Field::Event),
    ("timestamp", Field::Timestamp),
    ("properties", Field::Metadata),
    ("traits", Field::Traits),
    ("context", Field::Context),
    ("messageId", Field::MessageId),
    ("anonymousId", Field::AnonymousId),
    ("type", Field::Type),
    ("name", Field::Name),
    ("originalTimestamp", Field::OriginalTimestamp),
    ("sentAt", Field::SentAt),
    ("receivedAt", Field::ReceivedAt),
];

/// Whether a name, in any of those spellings, is that of an event's id.
pub(super) fn is_of_id(name: &str) -> bool {
    CANONICAL.iter().any(|(known, field)| *known == name && *field == Field::MessageId)
}

/// A field as it was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// The name that was used.
    pub(super) name: &'static str,
    /// Its value; not `null`.
    pub(super) value: &'a RawValue,
}

impl Given<'_> {
    /// A fault of this field.
    pub(super) fn fault(&self, rule: &'static str, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(format!("/{}", self.name), rule, message)
    }
}

/// The members of an event's object.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    names: &'static [(&'static str, Field)],
    given: [Option<Given<'a>>; FIELD_COUNT],
    /// One bit for each of `names`: whether it was present, even as `null`.
    seen: u32,
    /// The members with unknown names.
    pub(super) extra: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Names that occur twice, and fields that are given twice with different values.
    pub(super) faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// Parses them by the names of an ingest endpoint.
    pub(super) fn read(record: &'a str, via: Source) -> Result<Self, Fault> {
        let names = match via {
            Source::Segment => SEGMENT,
            Source::Track | Source::Events | Source::Crmflow => CANONICAL,
        };
        let empty =
            Self { names, given: [None; FIELD_COUNT], seen: 0, extra: Vec::new(), faults: Vec::new() };
        let mut json = serde_json::Deserializer::from_str(record);
        let read = Members(empty).deserialize(&mut json).and_then(|fields| json.end().map(|()| fields));
        let mut fields = read.map_err(|error| {
            if error.is_data() {
                Fault::new("", "type", "must be of type object")
            } else {
                Fault::new("", rule::JSON, json::describe(&error))
            }
        })?;
        fields.extra.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        // The pointer of an unknown name could be personal data.
        let twice = fields.extra.windows(2).filter(|pair| pair[0].0 == pair[1].0).count();
        fields.faults.extend((0..twice.min(1)).map(|_| occurs_twice(String::new())));
        if via != Source::Segment {
            fields.resolve_type();
        }
        Ok(fields)
    }

    /// The value of a field, if one was given.
    pub(super) fn get(&self, field: Field) -> Option<Given<'a>> {
        self.given[field as usize]
    }

    /// Moves a field that has no meaning here to the unknown ones.
    pub(super) fn set_aside(&mut self, field: Field) {
        if let Some(Given { name, value }) = self.given[field as usize] {
            self.extra.push((Cow::Borrowed(name), value));
        }
    }

    fn put(&mut self, name: Cow<'a, str>, value: &'a RawValue) {
        let Some(number) = self.names.iter().position(|(known, _)| *known == name) else {
            self.extra.push((name, value));
            return;
        };
        let (name, field) = self.names[number];
        let is_repeated = self.seen & (1 << number) != 0;
        self.seen |= 1 << number;
        if is_repeated {
            self.faults.push(occurs_twice(format!("/{name}")));
        }
        // Segment's SDKs write null for values that they do not know.
        if value.get() != "null" && !(is_repeated && self.get(field).is_some()) {
            self.fill(field, Given { name, value });
        }
    }

    fn fill(&mut self, field: Field, given: Given<'a>) {
        match self.given[field as usize] {
            Some(before) if !is_same(before.value, given.value) => {
                let message = format!("says something else than /{}, which is the same field", before.name);
                self.faults.push(given.fault(rule::TWO_NAMES, message));
            }
            Some(_) => {}
            None => self.given[field as usize] = Some(given),
        }
    }

    /// `type` is another name for `event`. Next to an `event`, the type `track` is Segment's name of the call, and is
    /// dropped.
    fn resolve_type(&mut self) {
        if let Some(given) = self.given[Field::Type as usize].take()
            && (self.get(Field::Event).is_none() || given.value.get() != "\"track\"")
        {
            self.fill(Field::Event, given);
        }
    }
}

fn is_same(one: &RawValue, other: &RawValue) -> bool {
    let form = |value: &RawValue| json_text::canonical(value.get(), |_, _| false);
    form(one) == form(other)
}

fn occurs_twice(pointer: String) -> Fault {
    Fault::new(pointer, rule::UNIQUE_NAMES, "a name stands twice in the object")
}

/// Parses the members of an object into empty fields.
struct Members<'a>(Fields<'a>);

impl<'de> DeserializeSeed<'de> for Members<'de> {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Fields<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'de> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Fields<'de>, A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            self.0.put(name, map.next_value()?);
        }
        Ok(self.0)
    }
}
