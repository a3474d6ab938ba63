//! Consent: a word that is not understood is told of, the word that was said last stands, and none is lost.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Client, encoded},
        program::{Ended, Place, Server},
    },
    records::cases::upload,
};

const HEADER: &str = "name,email,optIn\n";

/// Two people who agreed, as a file.
const AGREED: &str = "name,email,optIn\nAnn,ann@consent.example,yes\nBo,bo@consent.example,yes\n";

fn process(place: &Place, name: &str, text: &str) -> Ended {
    let file = place.file(name, text);
    place.run([Path::new("process"), Path::new("--json"), &file])
}

/// Fails unless the run stored what it could, and said that so many words were not understood.
#[track_caller]
fn check_told(ended: &Ended, unread: u64, outcomes: &[(&str, u64)]) {
    let said = if unread == 1 { "1 record has".to_owned() } else { format!("{unread} records have") };
    ended.check(
        1,
        &[&said, "a consent word that crmflow does not understand", "unknown whether these people agreed"],
    );
    let summary: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&summary["status"], &summary["unreadConsent"]), (&json!("SUCCEEDED"), &json!(unread)));
    for (outcome, count) in outcomes {
        assert_eq!(summary["outcomes"][outcome], *count, "{summary}");
    }
}

#[track_caller]
fn opted_in(api: &Client, address: &str) -> bool {
    api.show(&format!("/contacts/{}", encoded(address)))["optIn"].as_bool().unwrap()
}

#[test]
fn an_unread_consent_word_is_reported() {
    let place = Place::new();
    process(&place, "agreed.csv", AGREED).check(0, &[]);
    let text = "name,email,Opt In\nAnn,ann@consent.example,Secretword\nCy,cy@consent.example,yes\nBo,bo@consent.example,no\n";
    let ended = process(&place, "words.csv", text);
    check_told(&ended, 1, &[("saved", 1), ("withdrawn", 1), ("invalid", 1)]);
    let batch = serde_json::from_str::<Value>(&ended.stdout).unwrap()["batchId"].as_str().unwrap().to_owned();
    let listed = place.run(["quarantine", "list", "--json"]).json();
    assert_eq!(listed[0]["faults"][0]["rule"], "consent");
    let message = listed[0]["faults"][0]["message"].as_str().unwrap();
    assert!(message.contains("column") && message.contains("unsubscribed"), "{message}");
    let logged = place.run(["logs", "-n", "LogSchemaErrors"]).stdout;
    for said in [&logged, &ended.stderr, &ended.stdout, &place.run(["quarantine", "list"]).stdout] {
        assert!(!said.to_lowercase().contains("secretword"), "{said}");
    }
    // The one that is corrected counts, and the run that corrects it ends well.
    let corrected = place.file("corrected", r#"{"name":"Ann","email":"ann@consent.example","optIn":false}"#);
    let again = [Path::new("quarantine"), Path::new("replay"), Path::new("--corrected"), &corrected];
    place.run(again.map(Path::as_os_str).into_iter().chain([format!("{batch}/0").as_ref()])).check(0, &[]);
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    assert_eq!(
        ["ann", "bo", "cy"].map(|name| opted_in(&api, &format!("{name}@consent.example"))),
        [false, false, true]
    );
}

#[test]
fn a_summary_for_people_says_so_in_a_line() {
    let place = Place::new();
    let file =
        place.file("words.csv", format!("{HEADER}Ann,ann@consent.example,x\nBo,bo@consent.example,?\n"));
    let ended = place.run([Path::new("process"), &file]);
    let said = "2 records have a consent word that crmflow does not understand; it is unknown whether these people agreed";
    ended.check(1, &[said]);
    assert!(ended.stdout.contains(said) && ended.stdout.contains("(consent)"), "{ended:?}");
}

#[test]
fn the_usual_words_of_csv_are_understood() {
    let place = Place::new();
    let no = [
        "no",
        "N",
        " False ",
        "0",
        "f",
        "OFF",
        "Unsubscribed",
        "opt-out",
        "Opted out",
        "Nein",
        "non",
        "nee",
        "NÃO",
    ];
    let yes = [
        "yes",
        "Y",
        "TRUE",
        "1",
        "t",
        "on",
        "Subscribed",
        "opt-in",
        "opted in",
        "ja",
        "Oui",
        "sí",
        "Sì",
        "sim",
    ];
    let rows = |words: &[&str], name: &str| -> String {
        words
            .iter()
            .enumerate()
            .map(|(at, word)| format!("{name},{name}{at}@words.example,{word}\n"))
            .collect()
    };
    let summary =
        process(&place, "words.csv", &format!("{HEADER}{}{}", rows(&yes, "y"), rows(&no, "n"))).json();
    assert_eq!(
        (&summary["outcomes"]["saved"], &summary["outcomes"]["ignored"]),
        (&json!(yes.len()), &json!(no.len()))
    );
}

/// JSON's contract stays what it is; a refused record that may be a no is told of all the same.
#[test]
fn json_takes_truth_values_alone_and_tells_of_others() {
    let place = Place::new();
    process(&place, "agreed.csv", AGREED).check(0, &[]);
    let list = |said: &[&str]| {
        let records = said
            .iter()
            .map(|said| format!(r#"{{"name":"Ann","email":"ann@consent.example","optIn":{said}}}"#));
        format!("[{}]", records.collect::<Vec<_>>().join(","))
    };
    check_told(
        &process(&place, "no.json", &list(&[r#""unsubscribed""#, r#""N""#, "0", "true"])),
        3,
        &[("invalid", 3), ("unchanged", 1)],
    );
    // What is known to be a yes, and what says nothing, leaves nobody opted in against their word.
    let summary = process(&place, "yes.json", &list(&[r#""yes""#, r#""true""#, "null", "true"])).json();
    assert_eq!((&summary["outcomes"]["invalid"], &summary["unreadConsent"]), (&json!(3), &json!(0)));
}

#[test]
fn the_api_counts_words_that_are_not_understood() {
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    let text = format!(
        "{HEADER}Ann,ann@consent.example,yes\nBo,bo@consent.example,baldly\nCy,cy@consent.example,\n"
    );
    for id in [api.send("text/csv", text.as_bytes()), upload(&api, "", text.as_bytes())] {
        let ended = api.ended(&id);
        assert_eq!((&ended["status"], &ended["unreadConsent"]), (&json!("SUCCEEDED"), &json!(1)), "{ended}");
    }
    let clean = api.ended(&api.send("text/csv", AGREED.as_bytes()));
    assert_eq!(clean.get("unreadConsent"), None);
}

/// Whatever door a batch comes in by, it comes behind all that were answered before.
#[test]
fn every_door_gives_batches_their_order() {
    let place = Place::new();
    process(&place, "agreed.csv", AGREED).check(0, &[]);
    let body = format!("{HEADER}Ann,ann@consent.example,no\nAnn,ann@consent.example,no\n");
    let mut last = 0;
    for _ in 0..2 {
        let server = Server::start(&place);
        let api = Client::new(&server.base);
        let waited =
            api.post("/records", &[("Content-Type", "text/csv"), ("Prefer", "wait=60")], body.as_bytes());
        let key = [("Content-Type", "text/csv"), ("Idempotency-Key", "one")];
        let [keyed, again] =
            [(); 2].map(|()| api.post("/records", &key, body.as_bytes()).body["batchId"].clone());
        assert_eq!(keyed, again);
        let uploaded = upload(&api, "", body.as_bytes());
        let ids = [waited.body["batchId"].as_str().unwrap(), keyed.as_str().unwrap(), &uploaded];
        let orders = ids.map(|id| api.ended(id)["order"].as_u64().unwrap());
        // The same key is the same batch, also after a restart.
        let fresh = if last == 0 { &orders[..] } else { &[orders[0], orders[2]] };
        for order in fresh {
            assert!(*order > last, "{orders:?} after {last}");
            last = *order;
        }
    }
    let agreed = place.file("yes.csv", AGREED);
    place.run([Path::new("process"), &agreed, Path::new("--resubscribe")]).check(0, &[]);
    let server = Server::start(&place);
    assert!(opted_in(&Client::new(&server.base), "ann@consent.example"));
}
