//! What the documents tell people to type works.

use std::{collections::BTreeMap, fs, process::Command};

use crate::{
    destinations::sink::Sink,
    harness::{
        http::{Client, until},
        program::{Place, Server, run, skip},
    },
    records::failures::root,
};

/// README.md and the pages of docs/, by name.
fn pages() -> BTreeMap<String, String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages
        .chain([root().join("README.md")])
        .map(|path| (path.file_name().unwrap().display().to_string(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The lines in a page's blocks of `sh`.
fn typed(page: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.trim() {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside && !line.is_empty() => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// The words behind `crmflow` in a line, where it is a call of it.
fn arguments(line: &str) -> Option<Vec<&str>> {
    let line = line.split(" #").next().unwrap_or(line).rsplit(" | ").next().unwrap_or(line);
    let rest = line.strip_prefix("crmflow ").or(line.strip_prefix("cargo run -- "))?;
    Some(rest.split_whitespace().collect())
}

#[test]
fn every_command_in_the_documents_is_one() {
    let place = Place::new();
    let mut commands = 0;
    for (name, page) in pages() {
        for line in typed(&page) {
            let Some(mut words) = arguments(line) else { continue };
            commands += 1;
            for file in words.iter().filter(|word| word.starts_with("examples/")) {
                assert!(root().join(file).exists(), "{name}: {line}");
            }
            words.push("--help");
            assert_eq!(place.run(&words).code, Some(0), "{name}: {line}");
        }
    }
    assert!(commands > 5, "{commands}");
}

#[test]
fn every_page_that_is_linked_is_there() {
    for (name, page) in pages() {
        let folder = if name == "README.md" { root() } else { root().join("docs") };
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or(target);
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(folder.join(file).exists(), "{name} links to {target}");
        }
    }
}

/// The counts that README.md shows of its example.
#[test]
fn the_example_gives_what_the_readme_shows() {
    let place = Place::new();
    let shown = &pages()["README.md"];
    let block = shown.split("```").find(|block| block.contains("\n  saved ")).unwrap();
    let printed = place.run(["process".as_ref(), root().join("examples/contacts.json").as_os_str()]);
    printed.check(0, &[]);
    let same = |line: &&str| !line.is_empty() && !line.contains("records in") && *line != "  ...";
    for line in block.lines().filter(same) {
        assert!(printed.stdout.contains(line), "{line:?} is missing: {}", printed.stdout);
    }
}

/// S2-030: the curl of README.md, with only the address changed.
#[test]
fn the_curl_of_the_readme_works() {
    let readme = &pages()["README.md"];
    let line = typed(readme).into_iter().find(|line| line.starts_with("curl -XPOST")).unwrap();
    if Command::new("curl").arg("--version").output().is_err() {
        return skip("curl", "there is no curl on this machine");
    }
    let place = Place::new();
    let server = Server::start(&place);
    let line = line.replace("http://127.0.0.1:3000", &server.base);
    let answer: serde_json::Value = run(Command::new("sh").args(["-c", &line]), b"").json();
    let api = Client::new(&server.base);
    assert_eq!(api.ended(answer["batchId"].as_str().unwrap())["outcomes"]["saved"], 1);
    assert_eq!(api.show("/contacts/john.doe@example.com")["name"], "John Doe");
}

/// The section of docs/sink.md that is typed in three terminals, with only the addresses changed.
#[test]
fn the_sink_is_tried_as_its_page_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skip("curl", "there is no curl on this machine");
    }
    let page = &pages()["sink.md"];
    let section = page.split("\n## ").find(|section| section.starts_with("In three terminals")).unwrap();
    let place = Place::new();
    let sink = Sink::start(&place);
    let server = Server::start_with(&place, ["--allow-destination", sink.authority()]);
    let here = |text: &str| {
        text.replace("127.0.0.1:3000", server.authority()).replace("127.0.0.1:8090", sink.authority())
    };
    fs::create_dir_all(place.path("examples/events")).unwrap();
    for file in fs::read_dir(root().join("examples/events")).unwrap() {
        let path = file.unwrap().path();
        let name = format!("examples/events/{}", path.file_name().unwrap().display());
        place.file(&name, here(&fs::read_to_string(path).unwrap()));
    }
    let api = Client::new(&server.base);
    let lines: Vec<&str> = typed(section).into_iter().filter(|line| line.starts_with("curl ")).collect();
    let (first, rest) = lines.split_at(5);
    let type_in = |line: &str| {
        let mut shell = Command::new("sh");
        let ended = run(shell.current_dir(place.path("")).args(["-c", &here(line)]), b"");
        ended.check(0, &[]);
        assert!(!ended.stdout.contains("\"status\":4"), "{line}: {ended:?}");
    };
    first.iter().copied().for_each(type_in);
    let total = || {
        let counts = api.show(&sink.url("/_sink/counts"));
        ["analytics-1", "analytics-2", "comms"].map(|name| counts[name]["requests"].as_u64().unwrap())
    };
    until(|| (total() == [3, 1, 2]).then_some(()));
    // The page shows them, whatever came first.
    let shown = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = if words[5].len() == 36 { "(a UUID)" } else { words[5] };
        [words[1], words[3], id].map(ToOwned::to_owned)
    };
    let block = section.split("```").find(|block| block.contains("POST /")).unwrap();
    let mut expected: Vec<_> = block.lines().filter(|line| line.contains("POST")).map(shown).collect();
    let text = |request: &serde_json::Value, name: &str| request[name].as_str().unwrap().to_owned();
    let mut received: Vec<_> = sink
        .recorded()
        .iter()
        .map(|request| {
            let id = text(request, "webhookId");
            let id = if id.len() == 36 { "(a UUID)".to_owned() } else { id };
            [text(request, "endpoint"), text(request, "path"), id]
        })
        .collect();
    expected.sort();
    received.sort();
    assert_eq!(received, expected);
    until(|| (api.get("/events/broken").status == 200).then_some(()));
    rest.iter().copied().for_each(type_in);
    until(|| {
        (api.all("/deliveries?destination=Comms&status=delivered", "deliveries").len() == 3).then_some(())
    });
}
