//! The layout of a listing that a client asks for, by `Accept` or by `?format=` where a client cannot set headers.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::http::{problem::Problem, query::Parameters};

/// A layout of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A JSON object with links.
    Json,
    /// CSV with a header.
    Csv,
    /// JSON lines.
    Ndjson,
}

impl Layout {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// The layout of a media range. `*/*` and all that is unknown is JSON, as every other operation answers.
    fn from_range(range: &str) -> Option<Self> {
        match range {
            "text/csv" | "text/*" => Some(Self::Csv),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            _ => None,
        }
    }

    fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// The layout that the request asks for: `format` decides, then the range of `Accept` with the highest weight, of equal
/// ones the first.
pub(crate) fn layout(headers: &HeaderMap, query: &Parameters) -> Result<Layout, Problem> {
    if let Some(named) = query.parse("format", "json, csv or ndjson", Layout::from_name)? {
        return Ok(named);
    }
    let ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut best = (Layout::Json, 0.0);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if let Some(layout) = Layout::from_range(&name).filter(|_| weight > best.1) {
            best = (layout, weight);
        }
    }
    Ok(best.0)
}

/// A page as a file. `Link` names the next page (RFC 8288).
pub(crate) fn file(layout: Layout, name: &str, next: Option<&str>, text: Vec<u8>) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(layout.media()));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    let name = format!("attachment; filename=\"{name}.{}\"", layout.extension());
    let link = next.map(|next| format!("<{next}>; rel=\"next\""));
    for (header, value) in [(header::CONTENT_DISPOSITION, Some(name)), (header::LINK, link)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(header, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    #[track_caller]
    fn check(accept: &str, uri: &str, expected: Option<Layout>) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, accept.parse().unwrap());
        }
        let query = Parameters::read(&uri.parse::<Uri>().unwrap(), &["format"]).unwrap();
        assert_eq!(layout(&headers, &query).ok(), expected, "{accept} {uri}");
    }

    #[test]
    fn a_listing_has_the_layout_of_its_client() {
        check("", "/x", Some(Layout::Json));
        check("*/*", "/x", Some(Layout::Json));
        check("text/csv", "/x", Some(Layout::Csv));
        check("Text/CSV;q=0.5, application/json;q=0.4", "/x", Some(Layout::Csv));
        check("application/json, text/csv", "/x", Some(Layout::Json));
        check("text/csv;q=0", "/x", Some(Layout::Json));
        check("application/jsonl", "/x", Some(Layout::Ndjson));
        check("text/html,application/xhtml+xml,*/*;q=0.8", "/x", Some(Layout::Json));
        check("text/html", "/x?format=csv", Some(Layout::Csv));
        check("text/csv", "/x?format=json", Some(Layout::Json));
        check("", "/x?format=xml", None);
    }
}
