//! Queries of contacts: which contacts to list, and a page of them at a time. The API and the command line share it.

use std::{borrow::Cow, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::{
    email,
    stored::{OptIn, Stored},
};
use kernel::{
    batch::Name,
    error::Error,
    store::{MAX_PAGE_BYTES, Query, Store, Table},
};

/// Maximum number of contacts in one read: bounds memory if each is large.
const MAX_READ_CONTACTS: usize = 100;
/// Maximum number of contacts that one page looks through: a filter that matches few of them must not run into the
/// 30 seconds that API Gateway waits.
const MAX_SCANNED_CONTACTS: usize = 20_000;

/// Whether the contacts to list are opted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Contacts who agree to marketing mail.
    #[default]
    OptedIn,
    /// Contacts who withdrew.
    OptedOut,
    /// Both.
    All,
}

impl Status {
    fn matches(self, opt_in: bool) -> bool {
        match self {
            Self::OptedIn => opt_in,
            Self::OptedOut => !opt_in,
            Self::All => true,
        }
    }
}

/// Which contacts to list. A contact matches if it matches every part.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Their status.
    pub status: Status,
    /// Only contacts that contain this text.
    pub text: Option<Text>,
    /// Only contacts whose current statement is not older than this.
    pub since: Option<Moment>,
    /// Only contacts whose current statement is older than this.
    pub until: Option<Moment>,
}

impl Filter {
    fn matches(&self, key: &str, statement: &OptIn) -> bool {
        self.status.matches(statement.opt_in)
            && self.since.is_none_or(|since| statement.since >= since.0)
            && self.until.is_none_or(|until| statement.since < until.0)
            && self.text.as_ref().is_none_or(|text| text.is_in(key, statement))
    }
}

/// A point in time: a timestamp as RFC 3339 has it, or a date, which is its first moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let of_date = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        let found = match text.parse::<Timestamp>() {
            Ok(moment) => Some(moment),
            Err(_) if text.len() == 10 => text.parse().ok().and_then(of_date),
            Err(_) => None,
        };
        found.map(Self).ok_or_else(|| {
            Error::BadInput("a time is a date (2026-12-01) or a timestamp (2026-12-01T08:00:00Z)".into())
        })
    }
}

/// A text to search for. Case makes no difference, and neither does the Unicode form of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// The text; `None` if it is blank.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(folded(text).into_owned()))
    }

    /// Whether the address, the name, an interest or the value of any other field contains it.
    fn is_in(&self, key: &str, statement: &OptIn) -> bool {
        let is_in = |text: &str| folded(text).contains(&self.0);
        is_in(key)
            || is_in(&statement.email)
            || is_in(&statement.name)
            || statement.interests.iter().flatten().any(|interest| is_in(interest))
            || statement.extra.as_deref().is_some_and(|extra| self.is_in_values(extra))
    }

    fn is_in_values(&self, extra: &str) -> bool {
        fn any(value: &serde_json::Value, is_in: &impl Fn(&str) -> bool) -> bool {
            use serde_json::Value as V;
            match value {
                V::String(text) => is_in(text),
                V::Array(values) => values.iter().any(|value| any(value, is_in)),
                V::Object(fields) => fields.values().any(|value| any(value, is_in)),
                V::Number(number) => is_in(&number.to_string()),
                V::Null | V::Bool(_) => false,
            }
        }
        let fields: Option<serde_json::Value> = serde_json::from_str(extra).ok();
        fields.is_some_and(|fields| any(&fields, &|text| folded(text).contains(&self.0)))
    }
}

fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        };
    }
    let lower = text.to_lowercase();
    match is_nfc_quick(lower.chars()) {
        IsNormalized::Yes => lower.into(),
        _ => lower.nfc().collect::<String>().into(),
    }
}

/// A page of contacts, by partition and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The key and the current statement of each.
    pub contacts: Vec<(String, Stored)>,
    /// The key from which the next request continues; `None`: this was the last page.
    pub next: Option<String>,
}

/// Lists a tenant's contacts after the key `after`: at most `limit`. A page has fewer if they are large, and also if
/// few of many match; `next` then still names the next page.
pub async fn list(
    store: &impl Store,
    tenant: &Name,
    filter: &Filter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, Error> {
    let first = after.map_or(0, |key| email::hash(key) >> 56);
    let (mut contacts, mut bytes, mut scanned) = (Vec::new(), 0, 0);
    let mut last = after.map(ToOwned::to_owned);
    let mut after = last.clone();
    for shard in first..=0xff {
        loop {
            let query = Query {
                partition: format!("{tenant}/{shard:02x}"),
                prefix: String::new(),
                after: after.take(),
                descending: false,
                limit: MAX_READ_CONTACTS,
            };
            let items = store.query(Table::OptIns, query).await?;
            let count = items.len();
            for item in items {
                if contacts.len() == limit || bytes >= MAX_PAGE_BYTES || scanned == MAX_SCANNED_CONTACTS {
                    return Ok(Page { contacts, next: last });
                }
                scanned += 1;
                let stored = Stored::read(&item)?;
                if filter.matches(&item.sort, &stored.statement) {
                    bytes += item.body.len();
                    contacts.push((item.sort.clone(), stored));
                }
                last = Some(item.sort);
            }
            if count < MAX_READ_CONTACTS {
                break;
            }
            after.clone_from(&last);
        }
    }
    Ok(Page { contacts, next: None })
}
