//! The HTTP API: statuses, headers, keys, waiting.

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Answer, Client},
        program::{Place, Server},
    },
    records::{
        bad_input::{check_problem, gzip},
        cases,
    },
};

fn served(test: impl FnOnce(&Place, &Client)) {
    let place = Place::new();
    let server = Server::start(&place);
    test(&place, &Client::new(&server.base));
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn ann(name: &str) -> Vec<u8> {
    format!(r#"[{{"name":"{name}","email":"{name}@api.example","optIn":true}}]"#).into_bytes()
}

/// S2-001: one execution, whose id the answer has.
#[test]
fn a_post_starts_exactly_one_execution() {
    served(|place, api| {
        let answer = api.post("/records", &[JSON], &ann("ann"));
        assert_eq!(answer.status, 202);
        let id = answer.body["batchId"].as_str().unwrap();
        assert_eq!(answer.headers["location"], format!("/batches/{id}"));
        assert_eq!(answer.body["links"]["status"], format!("/batches/{id}"));
        assert!(answer.body["startDate"].is_string());
        assert_eq!(api.ended(id)["received"], 1);
        let executions = place.run(["executions", "--json"]).json();
        assert_eq!(executions.as_array().unwrap().len(), 1);
        assert_eq!(executions[0]["executionArn"], answer.body["executionArn"]);
    });
}

#[test]
fn who_waits_gets_the_summary() {
    served(|_, api| {
        let answer = api.post("/records", &[JSON, ("prefer", "wait=20")], &ann("ann"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["preference-applied"], "wait");
        assert_eq!(answer.body["status"], "SUCCEEDED");
        assert_eq!(answer.body["outcomes"]["saved"], 1);
        let again = api.show(answer.body["links"]["status"].as_str().unwrap());
        assert_eq!(again, answer.body);
    });
}

#[test]
fn the_same_key_is_the_same_batch() {
    served(|place, api| {
        let post = |key: &str, body: &[u8]| api.post("/records", &[JSON, ("idempotency-key", key)], body);
        let (first, again) = (post("\"one\"", &ann("ann")), post("one", &ann("ann")));
        assert_eq!((first.status, again.status), (202, 202));
        assert_eq!(first.body, again.body);
        check_problem(&post("one", &ann("bob")), 422, "An earlier, different request");
        check_problem(&post("", &ann("ann")), 400, "Idempotency-Key");
        // A request that was refused may come corrected under its key.
        check_problem(&post("two", b"[]"), 400, "no record");
        let other = post("two", &ann("bob"));
        assert_eq!(other.status, 202);
        assert_ne!(other.body["batchId"], first.body["batchId"]);
        for batch in [&first, &other] {
            assert_eq!(api.ended(batch.body["batchId"].as_str().unwrap())["outcomes"]["saved"], 1);
        }
        // Once it has ended, too, and for who waits.
        assert_eq!(post("one", &ann("ann")).body["batchId"], first.body["batchId"]);
        let waited = [JSON, ("idempotency-key", "one"), ("prefer", "wait")];
        let waited = api.post("/records", &waited, &ann("ann"));
        assert_eq!((waited.status, &waited.body["batchId"]), (200, &first.body["batchId"]));
        assert_eq!(place.run(["executions", "--json"]).json().as_array().unwrap().len(), 2);
    });
}

#[test]
fn the_type_of_a_body_is_one_that_is_taken() {
    served(|_, api| {
        let post = |headers: &[(&str, &str)]| api.post("/records", headers, &ann("ann"));
        for media in ["text/plain", "application/xml", "application/json; charset=utf-16"] {
            check_415(&post(&[("content-type", media)]));
        }
        check_415(&post(&[]));
        let form = post(&[("content-type", "application/x-www-form-urlencoded")]);
        check_415(&form);
        assert!(form.body["detail"].as_str().unwrap().contains("curl"));
        let packed = post(&[JSON, ("content-encoding", "br")]);
        check_problem(&packed, 415, "gzip");
        assert_eq!(packed.headers["accept-encoding"], "gzip, identity");
        check_problem(&post(&[JSON, ("content-encoding", "gzip")]), 400, "the body is not gzip");
    });
}

/// Who is refused before the body was read hears why, and may ask again on the same connection.
#[test]
fn a_refused_body_is_heard_out() {
    served(|_, api| {
        let body = vec![b' '; 1024 * 1024];
        for _ in 0..20 {
            let refused = api.post("/records", &[("content-type", "text/plain")], &body);
            check_problem(&refused, 415, "Content-Type");
            check_problem(&api.post("/nowhere", &[JSON], &body), 404, "");
            check_problem(&api.post("/health", &[JSON], &body), 405, "");
            assert_eq!(api.post("/records", &[JSON], &ann("ann")).status, 202);
        }
    });
}

#[track_caller]
fn check_415(answer: &Answer) {
    check_problem(answer, 415, "application/json");
    assert!(answer.headers["accept-post"].to_str().unwrap().contains("text/csv"));
}

#[test]
fn a_body_is_at_most_5_mebibytes() {
    served(|_, api| {
        let padded = |length: usize| [ann("ann"), vec![b' '; length - ann("ann").len()]].concat();
        let limit = 5 * 1024 * 1024;
        assert_eq!(api.post("/records", &[JSON], &padded(limit)).status, 202);
        check_problem(&api.post("/records", &[JSON], &padded(limit + 1)), 413, "POST /uploads");
        check_problem(&api.post("/records", &[JSON], &padded(8 * limit)), 413, "5 MiB");
        let packed = gzip(&padded(10 * limit));
        assert_eq!(api.post("/records", &[JSON, ("content-encoding", "gzip")], &packed).status, 202);
    });
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    served(|_, api| {
        for path in
            ["/nowhere", "/batches/17", "/batches/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/records/1", "//records"]
        {
            check_problem(&api.get(path), 404, "");
        }
        check_problem(&api.get("/contacts/nobody%40api.example"), 404, "no contact");
        check_problem(&api.get("/contacts/nobody"), 400, "e-mail address");
        let id = api.send(JSON.1, &ann("ann"));
        api.ended(&id);
        check_problem(&api.get(&format!("/batches/{id}/records/1")), 404, "1 records");
        check_problem(&api.get(&format!("/batches/{id}/records/-1")), 404, "numbered from 0");
    });
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    served(|_, api| {
        let wrong = api.get("/records");
        check_problem(&wrong, 405, "");
        assert!(wrong.headers["allow"].to_str().unwrap().contains("POST"), "{wrong:?}");
        let wrong = api.post("/health", &[], b"");
        check_problem(&wrong, 405, "");
        assert!(wrong.headers["allow"].to_str().unwrap().contains("GET"), "{wrong:?}");
    });
}

#[test]
fn a_query_that_is_misspelt_is_no_other_query() {
    served(|_, api| {
        for path in
            ["/contacts?optin=all", "/batches?limit=0", "/quarantine?errorType=wrong", "/contacts?limit=many"]
        {
            check_problem(&api.get(path), 400, "");
        }
    });
}

#[test]
fn listings_have_pages() {
    served(|_, api| {
        let records: Vec<Value> = (0..25)
            .map(|n| json!({ "name": "N", "email": format!("n{n}@api.example"), "optIn": true }))
            .collect();
        let ids: Vec<String> = records
            .iter()
            .map(|record| api.send(JSON.1, json!([record, {}]).to_string().as_bytes()))
            .collect();
        ids.iter().for_each(|id| assert_eq!(api.ended(id)["received"], 2));
        let contacts = api.all("/contacts?limit=3", "contacts");
        assert_eq!(contacts.len(), 25);
        let mut listed = api.all("/batches?limit=4", "batches");
        listed.reverse();
        assert_eq!(listed.iter().map(|batch| batch["batchId"].as_str().unwrap()).collect::<Vec<_>>(), ids);
        assert_eq!(api.all("/quarantine?limit=4", "entries").len(), 25);
        assert_eq!(api.all(&format!("/quarantine?batch={}&limit=1", ids[7]), "entries").len(), 1);
    });
}

/// What was sent again is another batch, once.
#[test]
fn a_replay_corrects_a_record() {
    served(|_, api| {
        let id = api.send(JSON.1, br#"[{"name":"Ann","email":"ann@replay.example"},{"name":"Bob"}]"#);
        api.ended(&id);
        let record = json!({ "name": "Ann", "email": "ann@replay.example", "optIn": true });
        let pick = json!({ "entries": [{ "batchId": id, "index": 0, "record": record }] });
        let replay = || api.post("/quarantine/replay", &[JSON], pick.to_string().as_bytes());
        let sent = replay();
        assert_eq!((sent.status, &sent.body["replayed"]), (202, &json!(1)), "{sent:?}");
        let batch = sent.body["batches"][0]["batchId"].as_str().unwrap();
        assert_eq!(api.ended(batch)["outcomes"]["saved"], 1);
        assert_eq!(api.show("/contacts/ann%40replay.example")["name"], "Ann");
        let again = replay();
        assert_eq!((again.status, &again.body["replayed"]), (200, &json!(0)), "{again:?}");
        assert_eq!(api.all(&format!("/quarantine?batch={id}"), "entries").len(), 1);
        check_problem(&api.post("/quarantine/replay", &[JSON], b"{\"batch\":1}"), 400, "shape");
    });
}

#[test]
fn an_upload_arrives_once() {
    served(|_, api| {
        let id = cases::upload(api, "", &ann("ann"));
        assert_eq!(api.ended(&id)["outcomes"]["saved"], 1);
        check_problem(&api.put(&format!("/uploads/default/{id}"), &ann("bob")), 409, "complete already");
        check_problem(&api.put("/uploads/default/01ARZ3NDEKTSV4RRFFQ69G5FAV", &ann("bob")), 404, "No upload");
        check_problem(&api.put("/uploads/default/../x", &ann("bob")), 404, "");
        let posted = api.send(JSON.1, &ann("cleo"));
        check_problem(&api.put(&format!("/uploads/default/{posted}"), &ann("bob")), 404, "No upload");
    });
}

#[test]
fn it_describes_itself() {
    served(|_, api| {
        assert_eq!(api.show("/openapi.json")["openapi"].as_str().unwrap().split('.').next(), Some("3"));
        let page = api.get("/docs");
        assert!(page.text.contains("<html") && page.text.contains("</html>"));
        assert_eq!(api.get("/").headers["location"], "/docs");
        let health = api.get("/health");
        assert_eq!((health.status, &health.body["status"]), (200, &json!("ok")));
        assert_eq!(health.headers["cache-control"], "no-store");
    });
}
