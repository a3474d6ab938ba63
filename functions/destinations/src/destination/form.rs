//! A client's definition of a destination: the body of `POST /destinations` and of `PUT` (S0-012). It becomes the
//! stored destination, or a list of all faults.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;

use super::{
    DEFAULT_CONCURRENCY, DEFAULT_HOLD_SECONDS, Destination, DestinationType, FINAL_STATUSES, Ordering,
    REDACTED, RETRY_DELAYS, Redacted, State, statuses, view,
};
use crate::{
    expression::Expression,
    members::{Fields, Members, escaped},
    outbound::{self, Guard, Secret},
};
use kernel::{destination_name::DestinationName, fault::Fault};

/// The context in which members are parsed.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The guard of the addresses that calls may reach.
    pub guard: &'a Guard,
    /// Now.
    pub now: Timestamp,
    /// Randomness for secrets; of each draw at least 64 bits are as good as any.
    pub random: fn() -> u128,
}

/// A destination that was parsed.
#[derive(Debug)]
pub struct Read {
    /// The destination, to be stored.
    pub destination: Destination,
    /// The secret that was made for it: shown once, now.
    pub made: Option<Redacted<String>>,
}

/// Maximum length of a URL.
const MAX_URL_BYTES: usize = 2_048;
/// Maximum number of event names that a destination may list, and maximum length of one.
const MAX_EVENTS: usize = 200;
const MAX_EVENT_NAME: usize = 256;
/// Maximum number of headers, and of their bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Maximum number of delays, and the longest delay: a day.
const MAX_DELAYS: usize = 16;
const MAX_DELAY_SECONDS: u32 = 86_400;
/// Maximum number of secrets of a destination, during a rotation.
const MAX_SECRETS: usize = 2;

/// Members that clients see and cannot change; a client may send back a body that has them.
const READ_ONLY_MEMBERS: [&str; 5] = ["createdAt", "updatedAt", "reason", "lane", "links"];

/// Parses a new destination.
pub fn create(members: Members, reading: Reading<'_>) -> Result<Read, Vec<Fault>> {
    let mut fields = Fields::new(members);
    let name = fields.required("destinationName", NAME_RULE, |name: String| name.parse().ok());
    fields.read(name, None, reading)
}

/// Parses a change to a destination. Omitted members are as in a new one, except headers, secrets and the state: they
/// stay unchanged.
pub fn change(stored: &Destination, members: Members, reading: Reading<'_>) -> Result<Read, Vec<Fault>> {
    let mut fields = Fields::new(members);
    fields.optional(
        "destinationName",
        "is not the name in the path: a destination keeps its name",
        |name: String| (name == stored.destination_name.as_str()).then_some(()),
    );
    for name in READ_ONLY_MEMBERS {
        fields.members.remove(name);
    }
    fields.read(Some(stored.destination_name.clone()), Some(stored), reading)
}

const NAME_RULE: &str =
    "is not 1 to 64 letters, digits, _, - and . with a letter or digit first: it stands in paths";

impl Fields {
    fn read(
        mut self,
        name: Option<DestinationName>,
        stored: Option<&Destination>,
        reading: Reading<'_>,
    ) -> Result<Read, Vec<Fault>> {
        let kind = self.required("type", "is neither CDP nor analytics", Some::<DestinationType>);
        let url = self.url(stored, reading.guard);
        let moves_host =
            stored.zip(url.as_deref()).is_some_and(|(stored, url)| origin(&stored.url) != origin(url));
        let headers = self.headers(stored, moves_host);
        let (secrets, made) = self.secrets(stored, reading.random);
        let known = stored.map_or(State::Active, |stored| stored.state);
        let state = self.optional("state", "is not active, paused or disabled", Some::<State>);
        let state = state.unwrap_or(known);
        let read = (name, kind, url);
        let (events, filter, mapping) =
            (self.events(), self.expression("filter"), self.expression("mapping"));
        let rate_limit =
            self.number("rateLimit", "is not a number of calls a second from 1 to 10000", 1..=10_000);
        let ordering = self.optional("ordering", "is neither none nor user", Some::<Ordering>);
        let concurrency = self.number("concurrency", "is not a number from 1 to 256", 1..=256);
        let hold_seconds =
            self.number("holdSeconds", "is not a number of seconds from 1 to 86400", 1..=MAX_DELAY_SECONDS);
        let retry_delays = self.delays();
        let final_statuses = self.statuses();
        self.refuse_others("is not a member of a destination");
        match read {
            (Some(destination_name), Some(kind), Some(url)) if self.faults.is_empty() => Ok(Read {
                destination: Destination {
                    destination_name,
                    headers: headers.into(),
                    kind,
                    url: url.into(),
                    events,
                    filter,
                    mapping,
                    secrets: secrets.into(),
                    rate_limit,
                    ordering: ordering.unwrap_or_default(),
                    hold_seconds: hold_seconds.unwrap_or(DEFAULT_HOLD_SECONDS),
                    concurrency: concurrency.unwrap_or(DEFAULT_CONCURRENCY),
                    retry_delays: retry_delays.unwrap_or_else(|| RETRY_DELAYS.to_vec()),
                    final_statuses: final_statuses.unwrap_or_else(|| FINAL_STATUSES.to_vec()),
                    state,
                    reason: reason(stored, state),
                    created_at: stored.map_or(reading.now, |stored| stored.created_at),
                    updated_at: reading.now,
                },
                made: made.map(Redacted::from),
            }),
            _ => Err(self.faults),
        }
    }

    /// The URL. A redacted value of its query means the stored value, unless the destination moves to another host.
    fn url(&mut self, stored: Option<&Destination>, guard: &Guard) -> Option<String> {
        let mut url = self.required("url", "is not a text", Some::<String>)?;
        if view::has_redacted_values(&url) {
            let known = stored.filter(|stored| origin(&stored.url) == origin(&url));
            let Some(restored) = known.and_then(|known| view::restored_url(&url, &known.url)) else {
                let wrong = "has a value in its query that stands for a stored one, and none is, or it is of another host";
                self.fault("/url".into(), "format", wrong);
                return None;
            };
            url = restored;
        }
        if stored.is_some_and(|stored| *stored.url == url) {
            return Some(url);
        }
        if url.chars().any(char::is_control) {
            // A parser of URLs drops some of them, and a terminal obeys others.
            self.fault("/url".into(), "format", "holds a control character");
            return None;
        }
        if url.len() > MAX_URL_BYTES {
            self.fault("/url".into(), "maxLength", format!("is longer than {MAX_URL_BYTES} bytes"));
            return None;
        }
        match guard.check_url(&url) {
            Ok(_) => Some(url),
            Err(refusal) => {
                self.fault("/url".into(), "format", refusal.to_string());
                None
            }
        }
    }

    /// The headers: an object of texts, or an empty text for none (S0-025). A redacted value means the stored one. It
    /// does not if the destination moves to another host, whose owner would learn the value.
    fn headers(&mut self, stored: Option<&Destination>, moves_host: bool) -> BTreeMap<String, String> {
        const MOVED_HOST_RULE: &str = "must be given anew, since the URL leads to another host";
        let Some(member) = self.members.remove("headers") else {
            let kept = stored.map(|stored| stored.headers.clone().into_inner()).unwrap_or_default();
            if moves_host && !kept.is_empty() {
                self.fault("/headers".into(), "required", MOVED_HOST_RULE);
            }
            return kept;
        };
        if matches!(member.get(), "\"\"" | "null") {
            return BTreeMap::new();
        }
        let Ok(given) = serde_json::from_str::<Members>(member.get()) else {
            self.fault("/headers".into(), "type", "is neither an object of texts nor an empty text");
            return BTreeMap::new();
        };
        let mut headers = BTreeMap::new();
        for (name, value) in given {
            let pointer = format!("/headers/{}", escaped(&name));
            let known = stored.and_then(|stored| stored.headers.get(&name));
            match serde_json::from_str::<String>(value.get()) {
                Err(_) => self.fault(pointer, "type", "is not a text"),
                Ok(value) if value == REDACTED => match known {
                    Some(_) if moves_host => self.fault(pointer, "format", MOVED_HOST_RULE),
                    Some(known) => drop(headers.insert(name, known.clone())),
                    None => self.fault(pointer, "format", "stands for a value that is stored, and none is"),
                },
                Ok(value) => {
                    let one = BTreeMap::from([(name, value)]);
                    match outbound::headers(&one) {
                        Ok(_) => headers.extend(one),
                        Err(why) => self.fault(pointer, "format", format!("cannot be sent: {why}")),
                    }
                }
            }
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            let most = format!("are more than {MAX_HEADERS}, or more than {MAX_HEADER_BYTES} bytes");
            self.fault("/headers".into(), "maximum", most);
        } else if let Err(why) = outbound::headers(&headers) {
            self.fault("/headers".into(), "format", format!("cannot be sent: {why}"));
        }
        headers
    }

    /// The secrets that sign calls, and the secret that was made. A new one precedes the one in use, so that receivers
    /// can change over; `secrets` is how many to retain.
    fn secrets(
        &mut self,
        stored: Option<&Destination>,
        random: fn() -> u128,
    ) -> (Vec<String>, Option<String>) {
        let mut secrets = stored.map(|stored| stored.secrets.to_vec()).unwrap_or_default();
        let wrong = "is not how many of the secrets to keep";
        let kept = self.optional("secrets", wrong, |kept: usize| (kept <= secrets.len()).then_some(kept));
        secrets.truncate(kept.unwrap_or(MAX_SECRETS));
        let Some(member) = self.members.remove("secret") else {
            return (secrets, None);
        };
        let (secret, made) = match member.get() {
            "null" => return (Vec::new(), None),
            "true" => {
                let made = make_secret(random);
                (Some(made.clone()), Some(made))
            }
            text => (serde_json::from_str(text).ok(), None),
        };
        match secret.map(|secret: String| (secret.parse::<Secret>().is_ok(), secret)) {
            Some((true, secret)) if secrets.first() != Some(&secret) => {
                secrets.insert(0, secret);
                secrets.truncate(MAX_SECRETS);
            }
            Some((true, _)) => {}
            Some((false, _)) | None => {
                let wrong = "is not whsec_ and the base64 of 24 to 64 bytes, nor true to have one made, nor null to sign no more";
                self.fault("/secret".into(), "format", wrong);
            }
        }
        (secrets, made)
    }

    fn events(&mut self) -> Vec<String> {
        let wrong = "is not a list of names of events";
        let events: Vec<String> = self.optional("events", wrong, Some).unwrap_or_default();
        if events.len() > MAX_EVENTS {
            self.fault("/events".into(), "maxItems", format!("has more than {MAX_EVENTS} names"));
        }
        for (index, name) in events.iter().enumerate() {
            if name.is_empty() || name.len() > MAX_EVENT_NAME {
                let wrong = format!("is empty, or longer than {MAX_EVENT_NAME} bytes");
                self.fault(format!("/events/{index}"), "maxLength", wrong);
            }
        }
        events
    }

    /// A JSONata expression; its text is stored.
    fn expression(&mut self, name: &'static str) -> Option<String> {
        let wrong = "is not a text with a JSONata expression";
        let source: String = self.optional(name, wrong, Some)?;
        match Expression::parse(&source) {
            Ok(_) => Some(source),
            Err(error) => {
                self.fault(format!("/{name}"), "jsonata", format!("is not JSONata that is taken: {error}"));
                None
            }
        }
    }

    fn delays(&mut self) -> Option<Vec<u32>> {
        let wrong = "is not a list of seconds";
        let delays: Vec<i64> = self.optional("retryDelays", wrong, Some)?;
        if delays.len() > MAX_DELAYS {
            self.fault("/retryDelays".into(), "maxItems", format!("has more than {MAX_DELAYS} delays"));
        }
        let mut read = Vec::with_capacity(delays.len());
        for (index, delay) in delays.into_iter().enumerate() {
            match u32::try_from(delay).ok().filter(|delay| (1..=MAX_DELAY_SECONDS).contains(delay)) {
                Some(delay) => read.push(delay),
                None => {
                    let wrong = "is not a number of seconds from 1 to 86400";
                    self.fault(format!("/retryDelays/{index}"), "maximum", wrong);
                }
            }
        }
        Some(read)
    }

    /// The statuses that end a delivery.
    fn statuses(&mut self) -> Option<Vec<u16>> {
        let given: Vec<i64> = self.optional("finalStatuses", "is not a list of statuses", Some)?;
        let (read, wrong) = statuses::read(given);
        for (pointer, rule, message) in wrong {
            self.fault(format!("/finalStatuses{pointer}"), rule, message);
        }
        Some(read)
    }
}

/// The reason of a destination's state: the known one, as long as the state stays the same.
fn reason(stored: Option<&Destination>, state: State) -> Option<String> {
    match (state, stored) {
        (State::Active, _) => None,
        (state, Some(stored)) if stored.state == state => stored.reason.clone(),
        (State::Paused | State::Disabled, _) => Some("by request".to_owned()),
    }
}

/// The origin of a URL: scheme, host and port.
fn origin(url: &str) -> Option<url::Origin> {
    url::Url::parse(url).ok().map(|url| url.origin())
}

/// A new secret: 32 bytes.
fn make_secret(random: fn() -> u128) -> String {
    let bytes: Vec<u8> = (0..4).flat_map(|_| random().to_be_bytes().into_iter().skip(8)).collect();
    format!("whsec_{}", BASE64_STANDARD.encode(bytes))
}
