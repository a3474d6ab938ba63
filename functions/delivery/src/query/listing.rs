//! Pages of deliveries. Lanes follow each other by the name of the destination. Each lane lists waiting, then
//! failed, then delivered deliveries.

use super::{DeliveryView, Failure, range};
use crate::model::{self, Delivery, QUEUED_PREFIX, Queued, Status};
use destinations::destination::Destination;
use kernel::{
    batch::Name,
    destination_name::DestinationName,
    error::Error,
    store::{Item, MAX_PAGE_BYTES, Store},
};

/// How many lanes one page reads at most: a tenant may have very many empty ones.
const MAX_LANES_PER_PAGE: usize = 100;

/// The deliveries to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Deliveries to this destination only, even if it was deleted.
    pub destination: Option<DestinationName>,
    /// Deliveries with this status only.
    pub status: Option<Status>,
    /// Deliveries with this failure only, either for good or in the last attempt.
    pub failure: Option<Failure>,
}

/// A page of deliveries.
#[derive(Debug)]
pub struct Page {
    /// The deliveries. A page may have fewer than the limit, and still a next page.
    pub deliveries: Vec<DeliveryView>,
    /// The token of the next page.
    pub next: Option<String>,
}

/// A page of deliveries; `page` is the `next` of the page before, and any other text is refused.
pub async fn list(
    tenant: &Name,
    filter: &Filter,
    page: Option<&str>,
    limit: usize,
    store: &impl Store,
) -> Result<Page, Error> {
    let mut position = page.map(Position::parse).transpose()?;
    let lanes = lanes(tenant, filter, position.as_ref(), store).await?;
    let statuses = [Status::Pending, Status::Failed, Status::Delivered];
    let mut statuses = statuses.into_iter().filter(|status| filter.status.is_none_or(|only| only == *status));
    let mut deliveries = Vec::new();
    let (mut seen, mut bytes) = (0, 0);
    for ListedLane { name, destination } in &lanes {
        for status in statuses.clone() {
            let after = match &position {
                Some(reached) if reached.status != status => continue,
                Some(reached) => Some(reached.sort.clone()),
                None => None,
            };
            position = None;
            let found = range(tenant, name, prefix(status), after, limit - seen, store).await?;
            let views = views(tenant, name, status, &found, store).await?;
            for (item, (view, size)) in found.iter().zip(views) {
                let is_own = |view: &DeliveryView| destination.as_ref().is_none_or(|it| view.is_for(it));
                let is_asked =
                    |view: &DeliveryView| filter.failure.as_ref().is_none_or(|it| view.failed_by(it));
                deliveries.extend(view.filter(is_own).filter(is_asked));
                seen += 1;
                bytes += size;
                if seen == limit || bytes >= MAX_PAGE_BYTES {
                    return Ok(Page { deliveries, next: Some(format!("{name}/{}", item.sort)) });
                }
            }
        }
        // The token may name a status that the filter excludes.
        position = None;
    }
    // After everything in this lane.
    let next = lanes.last().filter(|_| lanes.len() == MAX_LANES_PER_PAGE);
    let behind = statuses.next_back().map(prefix).unwrap_or_default();
    Ok(Page { deliveries, next: next.map(|lane| format!("{}/{behind}~", lane.name)) })
}

/// No destination and sort key together are longer.
const MAX_TOKEN_LENGTH: usize = 512;

/// The end of a page.
struct Position {
    destination: DestinationName,
    status: Status,
    sort: String,
}

impl Position {
    fn parse(text: &str) -> Result<Self, Error> {
        let refused = || Error::BadInput("the page is none that a listing named".into());
        if text.len() > MAX_TOKEN_LENGTH {
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

/// A lane to list.
struct ListedLane {
    name: DestinationName,
    /// `None`: the destination was deleted, and all deliveries of the lane are listed.
    destination: Option<Destination>,
}

impl ListedLane {
    async fn find(tenant: &Name, name: DestinationName, store: &impl Store) -> Result<Self, Error> {
        let found = Destination::find(tenant, &name, store).await?;
        Ok(Self { name, destination: found.map(|stored| stored.destination) })
    }
}

/// The lanes to list, the first one where the last page ended.
async fn lanes(
    tenant: &Name,
    filter: &Filter,
    position: Option<&Position>,
    store: &impl Store,
) -> Result<Vec<ListedLane>, Error> {
    if let Some(only) = &filter.destination {
        return match position {
            Some(position) if position.destination != *only => {
                Err(Error::BadInput("the page is of another destination".into()))
            }
            _ => Ok(vec![ListedLane::find(tenant, only.clone(), store).await?]),
        };
    }
    let mut lanes = Vec::new();
    if let Some(position) = position {
        lanes.push(ListedLane::find(tenant, position.destination.clone(), store).await?);
    }
    let after = position.map(|position| position.destination.as_str());
    for stored in Destination::list(tenant, after, MAX_LANES_PER_PAGE - lanes.len(), store).await? {
        let destination = stored.destination;
        lanes.push(ListedLane { name: destination.destination_name.clone(), destination: Some(destination) });
    }
    Ok(lanes)
}

/// The prefix of the sort keys of a status: waiting deliveries are listed from the queue rows.
fn prefix(status: Status) -> &'static str {
    match status {
        Status::Pending => QUEUED_PREFIX,
        Status::Delivered | Status::Failed => status.prefix(),
    }
}

/// A delivery, unless it is listed elsewhere, and its stored size in bytes.
type SizedView = (Option<DeliveryView>, usize);

/// The view of each item. A failure that is being redriven has none, because it is listed as waiting.
async fn views(
    tenant: &Name,
    name: &DestinationName,
    status: Status,
    items: &[Item],
    store: &impl Store,
) -> Result<Vec<SizedView>, Error> {
    if status == Status::Pending {
        return waiting(tenant, name, items, store).await;
    }
    let view = |item: &Item| {
        let delivery: Delivery = model::body(item)?;
        Ok(((delivery.status == status).then(|| DeliveryView::from_record(delivery)), item.body.len()))
    };
    items.iter().map(view).collect()
}

/// The view of each queue row, with the attempts of its record.
async fn waiting(
    tenant: &Name,
    name: &DestinationName,
    items: &[Item],
    store: &impl Store,
) -> Result<Vec<SizedView>, Error> {
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        rows.push((item, model::queued_parts(&item.sort), model::body::<Queued>(item)?));
    }
    let partition = model::partition(tenant, name);
    let touched = rows.iter().filter(|(.., queued)| queued.has_record());
    let keys: Vec<_> = touched
        .map(|(_, parts, _)| Status::Pending.sort(parts.map_or("", |(_, sequence)| sequence)))
        .map(|sort| (partition.clone(), sort))
        .collect();
    let found = if keys.is_empty() { Vec::new() } else { store.get_all(model::TABLE, keys).await? };
    let mut found = found.into_iter();
    let mut views = Vec::with_capacity(rows.len());
    for (item, parts, queued) in rows {
        let tried = if queued.has_record() { found.next().flatten() } else { None };
        let size = item.body.len() + tried.as_ref().map_or(0, |tried| tried.body.len());
        let tried = tried.as_ref().map(model::body::<Delivery>).transpose()?;
        let view = parts.map(|(due, _)| DeliveryView::from_row(name.clone(), queued, due, tried));
        views.push((view, size));
    }
    Ok(views)
}
