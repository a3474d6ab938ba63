//! The sink's page: counts and the last requests of each endpoint, drawn here; it loads itself again.

use std::fmt::Write;

use crate::{
    endpoint::Endpoint,
    receipt::Shown,
    request_log::{EndpointState, RequestLog},
};

/// How many requests of an endpoint are shown.
const MAX_SHOWN: usize = 10;
/// How many characters of a body.
const MAX_SHOWN_CHARS: usize = 400;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>crmflow sink</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #57c46d; --bad: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
p { margin: .2rem 0 1.5rem; opacity: .75; }
section { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; overflow: hidden; }
h2 { font: 600 1rem ui-monospace, monospace; margin: 0; }
header { background: var(--soft); display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; padding: .6rem .9rem; }
header span { opacity: .8; }
header b { font-variant-numeric: tabular-nums; }
code, td { font: 13px/1.5 ui-monospace, monospace; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { font-size: .8rem; font-weight: 500; opacity: .7; text-align: left; }
th, td { border-top: 1px solid var(--line); padding: .25rem .9rem; vertical-align: top; white-space: nowrap; }
td:last-child { max-width: 0; min-width: 20rem; overflow: hidden; text-overflow: ellipsis; width: 100%; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.none { padding: .6rem .9rem; opacity: .7; }
</style>
</head>
<body>
<h1>crmflow sink</h1>
<p>What destinations would receive. Times are UTC; the newest request stands first.</p>
"#;

/// The page.
pub(super) fn draw(log: &mut RequestLog) -> String {
    let mut page = HEAD.to_owned();
    for endpoint in Endpoint::ALL {
        // Writing to a text cannot fail.
        let _ = section(&mut page, endpoint, log.state(endpoint));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn section(page: &mut String, endpoint: Endpoint, state: &EndpointState) -> std::fmt::Result {
    let counts = state.counts();
    write!(page, "<section>\n<header><h2>/{}</h2>", endpoint.name())?;
    write!(page, "<span><b>{}</b> requests</span>", counts.requests)?;
    write!(page, "<span><b>{}</b> ids</span>", counts.distinct)?;
    write!(page, "<span><b>{}</b> repeats</span>", counts.repeats)?;
    for (status, count) in &counts.by_status {
        let class = if status.starts_with('2') { "good" } else { "bad" };
        let name = if status == "none" { "no answer" } else { status };
        write!(page, "<span class={class}><b>{count}</b> × {name}</span>")?;
    }
    if !state.rule.is_normal() {
        let told = serde_json::to_string(state.rule.behaviour()).unwrap_or_default();
        write!(page, "<span class=bad>told: <code>{}</code></span>", escaped(&told))?;
    }
    page.push_str("</header>\n");
    if counts.requests == 0 {
        page.push_str("<div class=none>Nothing yet.</div>\n</section>\n");
        return Ok(());
    }
    page.push_str("<div><table>\n<tr><th>time<th>request<th>got<th>webhook-id<th>body\n");
    let last = state.last().take(MAX_SHOWN).filter_map(|line| serde_json::from_str::<Shown<'_>>(line).ok());
    for shown in last {
        row(page, &shown)?;
    }
    page.push_str("</table></div>\n</section>\n");
    Ok(())
}

fn row(page: &mut String, shown: &Shown<'_>) -> std::fmt::Result {
    let good = shown.status.is_some_and(|status| status < 300);
    let status = shown.status.map_or("none".to_owned(), |status| status.to_string());
    let cut: String = shown.body.chars().take(MAX_SHOWN_CHARS).collect();
    let more = if cut.len() < shown.body.len() { "…" } else { "" };
    writeln!(
        page,
        "<tr><td>{}<td>{} {}<td class={}>{status}<td>{}<td title=\"{body}\">{body}{more}",
        shown.at.strftime("%H:%M:%S%.3f"),
        escaped(&shown.method),
        escaped(&shown.path),
        if good { "good" } else { "bad" },
        escaped(shown.webhook_id.as_deref().unwrap_or("-")),
        body = escaped(&cut),
    )
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
        out
    })
}
