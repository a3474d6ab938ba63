//! What others than the person who started the server may do with it: pages of other sites, slow clients, and other
//! users of the machine.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use serde_json::json;

use crate::harness::{
    http::Client,
    program::{PATIENCE, Place, Server},
};

/// Sends the head of a request as it stands, and gives the status of the answer.
#[track_caller]
fn status(base: &str, head: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// S5: a name that DNS rebinding brings here is not answered on either port.
#[test]
fn only_known_host_names_are_answered() {
    let place = Place::new();
    let server = Server::start_with(&place, ["--allow-host", "crm.internal"]);
    let list = |host: &str| {
        let head = format!(
            "POST / HTTP/1.1\r\n{host}Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AWSStepFunctions.ListStateMachines"
        );
        status(&server.step_functions, &head, "{}")
    };
    let get = |target: &str, host: &str| {
        status(&server.base, &format!("GET {target} HTTP/1.1\r\n{host}Accept: */*"), "")
    };
    for host in ["localhost", "127.0.0.1:3000", "[::1]:3000", "crm.internal", "CRM.internal:80"] {
        let host = format!("Host: {host}\r\n");
        assert_eq!((get("/contacts", &host), list(&host)), (200, 200), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1:3000"] {
        let host = format!("Host: {host}\r\n");
        assert_eq!((get("/contacts", &host), list(&host)), (421, 400), "{host}");
    }
    for hosts in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: \r\n"] {
        assert_eq!((get("/contacts", hosts), list(hosts)), (400, 400), "{hosts:?}");
    }
    assert_eq!(get("http://evil.example/contacts", "Host: localhost\r\n"), 421);
    assert_eq!(list("Host: sync-localhost\r\n"), 200);
    place
        .run(["serve", "--allow-host", "http://crm.internal"])
        .check(2, &["--allow-host", "without a scheme"]);
}

/// S5: a page of another site writes nothing, also where the browser does not ask first.
#[test]
fn pages_of_other_sites_write_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let track = r#"{"userId":"x","event":"y"}"#;
    let foreign = ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"];
    for (method, path, body) in
        [("POST", "/v1/track", track), ("POST", "/uploads", ""), ("DELETE", "/destinations/a", "")]
    {
        for header in foreign {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n{header}"
            );
            assert_eq!(status(&server.base, &head, body), 403, "{head}");
        }
    }
    let call = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AWSStepFunctions.ListStateMachines\r\nOrigin: https://evil.example";
    assert_eq!(status(&server.step_functions, call, "{}"), 400);
    let own = "POST /v1/track HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nOrigin: http://localhost:5173";
    assert_eq!(status(&server.base, own, track), 200);
    let api = Client::new(&server.base);
    assert_eq!(api.show("/batches")["batches"], json!([]));
}

/// S14: a length that is announced takes no memory before bytes come.
#[test]
fn announced_bodies_take_no_memory() {
    let place = Place::new();
    let server = Server::start(&place);
    let resident = || server.process.memory_kib("VmRSS").unwrap();
    let before = resident();
    let connections: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(server.authority()).unwrap();
            let head = "POST /records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n\r\n[";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    // An answer on a later connection says that the server has come to the earlier ones.
    Client::new(&server.base).show("/batches");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{} connections take {grown} KiB", connections.len());
}

/// S9: other users of the machine read nothing, also of a folder that an earlier version left open to them.
#[test]
fn the_data_folder_is_its_owner_s_alone() {
    let place = Place::new();
    let records =
        place.file("records", "{\"name\":\"A\",\"email\":\"a@private.example\",\"optIn\":true}\n{}\n");
    place.process(&records);
    private(&place.data());
    for entry in ["crmflow.db", "objects", "logs", "lock"] {
        let path = place.data().join(entry);
        let open = fs::Permissions::from_mode(if path.is_dir() { 0o755 } else { 0o644 });
        fs::set_permissions(path, open).unwrap();
    }
    place.process(&records);
    private(&place.data());
}

#[track_caller]
fn private(path: &Path) {
    let found = fs::metadata(path).unwrap();
    assert_eq!(found.permissions().mode() & 0o077, 0, "{}", path.display());
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            private(&entry.unwrap().path());
        }
    }
}

/// S20: a link in the place of the lock leads to nobody else's file.
#[test]
fn a_lock_that_is_a_link_is_refused() {
    let place = Place::new();
    let precious = place.file("precious", "precious");
    let records = place.file("records", "{}\n");
    fs::create_dir(place.data()).unwrap();
    symlink(&precious, place.data().join("lock")).unwrap();
    place.run([Path::new("process"), &records]).check(1, &["cannot be used"]);
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
}

/// S11: an answer is small enough for every host, and its next page goes on where it ended.
#[test]
fn pages_are_bounded_in_bytes() {
    const MIB: usize = 1 << 20;
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    let contact = |n: usize, email: &str| json!({"name": n.to_string(), "email": email, "optIn": true, "note": "n".repeat(200_000)});
    let contacts: Vec<_> = (0..12).map(|n| contact(n, &format!("c{n}@pages.example"))).collect();
    let words = (0..12).map(|n| vec![contact(n, "ann@pages.example")]);
    for records in words.chain([contacts]) {
        let batch = api.send("application/json", json!(records).to_string().as_bytes());
        api.ended(&batch);
    }
    let expression = format!("event = \"{}\"", "e".repeat(8_000));
    for n in 0..140 {
        let destination = json!({"destinationName": format!("d{n:03}"), "url": "http://127.0.0.1:8090/", "type": "analytics", "filter": expression, "mapping": expression});
        assert_eq!(api.request("POST", "/destinations", Some(&destination)).status, 200);
    }
    for (path, name, entries) in [
        ("/contacts?limit=1000", "contacts", 13),
        ("/contacts/ann%40pages.example", "history", 12),
        ("/destinations?limit=1000", "destinations", 140),
    ] {
        let answer = api.get(path);
        assert!(answer.text.len() < 5 * MIB / 2, "{path}: {}", answer.text.len());
        assert!(answer.body["links"]["next"].is_string(), "{path}");
        assert_eq!(api.all(path, name).len(), entries, "{path}");
    }
}
