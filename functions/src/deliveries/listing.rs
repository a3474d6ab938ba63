//! Pages of deliveries: lane after lane by the name of its destination; in each what waits, what failed, what was
//! delivered.

use super::{View, range};
use crate::{
    batch::Name,
    delivery::{self, Delivery, QUEUED, Status},
    destination::{Destination, DestinationName},
    error::Error,
    store::{Item, Store},
};

/// How many lanes one page may look into: a tenant may have very many with nothing in them.
const LANES: usize = 100;
/// How many bytes the deliveries of a page may take as they are stored, the last one left out of account.
const MAX_PAGE_BYTES: usize = 2 << 20;

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// To this destination only, also where there is none of the name any more.
    pub destination: Option<DestinationName>,
    /// Only those that stand so.
    pub status: Option<Status>,
}

/// Some of them.
#[derive(Debug)]
pub struct Page {
    /// The deliveries; a page may hold fewer than it could and still have a next one.
    pub deliveries: Vec<View>,
    /// What names the next page.
    pub next: Option<String>,
}

/// A page of deliveries; `page` is what the last one named as its next, and anything else is refused.
pub async fn list(
    tenant: &Name,
    filter: &Filter,
    page: Option<&str>,
    limit: usize,
    store: &impl Store,
) -> Result<Page, Error> {
    let mut place = page.map(Place::parse).transpose()?;
    let names = names(tenant, filter, place.as_ref(), store).await?;
    let statuses = [Status::Pending, Status::Failed, Status::Delivered];
    let mut statuses = statuses.into_iter().filter(|status| filter.status.is_none_or(|only| only == *status));
    let mut deliveries = Vec::new();
    let (mut seen, mut bytes) = (0, 0);
    for name in &names {
        for status in statuses.clone() {
            let after = match &place {
                Some(reached) if reached.status != status => continue,
                Some(reached) => Some(reached.sort.clone()),
                None => None,
            };
            place = None;
            let found = range(tenant, name, prefix(status), after, limit - seen, store).await?;
            for item in &found {
                deliveries.extend(view(name, status, item)?);
                seen += 1;
                bytes += item.body.len();
                if seen == limit || bytes >= MAX_PAGE_BYTES {
                    return Ok(Page { deliveries, next: Some(format!("{name}/{}", item.sort)) });
                }
            }
        }
        // A place of a status that is not asked for leads nowhere.
        place = None;
    }
    // Behind all that this lane may hold.
    let next = names.last().filter(|_| names.len() == LANES);
    let behind = statuses.next_back().map(prefix).unwrap_or_default();
    Ok(Page { deliveries, next: next.map(|name| format!("{name}/{behind}~")) })
}

/// No destination and sort together are longer.
const LONGEST: usize = 512;

/// Where a page ended.
struct Place {
    destination: DestinationName,
    status: Status,
    sort: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self, Error> {
        let refused = || Error::BadInput("the page is none that a listing named".into());
        if text.len() > LONGEST {
            return Err(refused());
        }
        let (destination, sort) = text.split_once('/').ok_or_else(refused)?;
        let status = Status::ALL.into_iter().find(|status| sort.starts_with(prefix(*status)));
        Ok(Self {
            destination: destination.parse().map_err(|_| refused())?,
            status: status.ok_or_else(refused)?,
            sort: sort.to_owned(),
        })
    }
}

/// The lanes to look into, beginning with the one that the last page ended in.
async fn names(
    tenant: &Name,
    filter: &Filter,
    place: Option<&Place>,
    store: &impl Store,
) -> Result<Vec<DestinationName>, Error> {
    if let Some(only) = &filter.destination {
        return match place {
            Some(place) if place.destination != *only => {
                Err(Error::BadInput("the page is of another destination".into()))
            }
            _ => Ok(vec![only.clone()]),
        };
    }
    let first = place.map(|place| place.destination.clone());
    let after = first.as_ref().map(DestinationName::as_str);
    let room = LANES - usize::from(first.is_some());
    let rest = Destination::list(tenant, after, room, store).await?;
    Ok(first
        .clone()
        .into_iter()
        .chain(rest.into_iter().map(|stored| stored.destination.destination_name))
        .collect())
}

/// What the sorts of a status begin with: of what waits, the queue is listed.
fn prefix(status: Status) -> &'static str {
    match status {
        Status::Pending => QUEUED,
        Status::Delivered | Status::Failed => status.prefix(),
    }
}

/// An item as it is shown; `None`: it is a failure that is being sent again, which is listed as one that waits.
fn view(name: &DestinationName, status: Status, item: &Item) -> Result<Option<View>, Error> {
    if status == Status::Pending {
        let Some((due, _)) = delivery::queued_parts(&item.sort) else { return Ok(None) };
        return Ok(Some(View::queued(name.clone(), delivery::body(item)?, due)));
    }
    let delivery: Delivery = delivery::body(item)?;
    Ok((delivery.status == status).then(|| View::tried(delivery)))
}
