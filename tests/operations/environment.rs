//! A machine that is not as it should be: folders, disks, ports, templates. Each has a clear message and the
//! right code, and what was taken in before is still there.

use std::{fs, net::TcpListener, path::Path};

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Client, until},
        program::{Ended, Place, Server, run},
    },
    records::failures::{root, template},
    step_functions::calls::call,
};

fn contacts(count: usize) -> String {
    (0..count)
        .map(|n| format!("{{\"name\":\"N\",\"email\":\"n{n}@environment.example\",\"optIn\":true}}\n"))
        .collect()
}

/// A folder that cannot be made, as one on a read-only disk cannot.
#[test]
fn a_data_folder_that_cannot_be_used() {
    let place = Place::under_a_file();
    let records = place.file("records", contacts(1));
    for command in [&["serve"][..], &["process", records.to_str().unwrap()], &["quarantine", "replay"]] {
        let ended = place.run(command);
        ended.check(1, &["cannot be used", "file/data"]);
    }
    place.run(["executions"]).check(2, &["has no data of crmflow yet"]);
}

/// A limit on the size of files does what a full disk does: the next byte is refused.
#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let records = place.file("records", contacts(3_000));
    // The steps are tried for minutes, for people to make room; here nobody does.
    let template = template(&place, |text| text);
    for machine in fs::read_dir(place.path("statemachines")).unwrap() {
        let machine = machine.unwrap().path();
        let patient = fs::read_to_string(&machine).unwrap();
        assert!(!machine.ends_with("records.asl.json") || patient.contains("\"MaxAttempts\": 12"));
        fs::write(machine, patient.replace("\"MaxAttempts\": 12", "\"MaxAttempts\": 2")).unwrap();
    }
    let crmflow = place.command([
        "--template",
        template.to_str().unwrap(),
        "process",
        "--json",
        records.to_str().unwrap(),
    ]);
    for kibibytes in [16, 100, 400] {
        let mut limited = std::process::Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {} && exec \"$0\" \"$@\"", kibibytes * 2);
        limited.args(["-c", &script]).arg(crmflow.get_program()).args(crmflow.get_args());
        let ended = run(&mut limited, b"");
        assert_eq!(ended.code, Some(1), "{kibibytes} KiB: {ended:?}");
        assert!(ended.stderr.lines().any(|line| line.starts_with("crmflow: ")), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    // With room again the batch goes on. Records that a step gave up before then are in quarantine.
    let ended = place.run([Path::new("process"), &records]);
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
    place.run(["quarantine", "replay"]).check(0, &[]);
    assert_eq!(place.process(&records)["outcomes"]["unchanged"], 3_000);
}

/// How large a file a process may make from now on: nothing more, or all.
pub(crate) fn limit_files(server: &Server, limit: &str) {
    let (pid, limit) = (server.process.0.id().to_string(), format!("--fsize={limit}:unlimited"));
    let status = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(status.success());
}

/// While the disk is full, nobody is told that a task has ended or an execution was stopped; what is tried again
/// once there is space goes on.
#[test]
fn a_full_disk_ends_no_execution() {
    let place = Place::new();
    let crmflow = place.command(["serve", "--listen", "127.0.0.1:0", "--sfn-listen", "127.0.0.1:0"]);
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(crmflow.get_program())
        .args(crmflow.get_args());
    command.stderr(fs::File::create(place.path("stderr")).unwrap());
    let server = Server::spawn(command);
    let sfn = Client::new(&server.step_functions);
    let call = |operation: &str, body: Value| call(&sfn, operation, body.to_string().as_bytes());
    let made = |operation: &str, body: Value, member: &str| call(operation, body).body[member].clone();
    let activity = made("CreateActivity", json!({"name": "work"}), "activityArn");
    let definition =
        json!({"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": activity, "End": true}}});
    let machine = json!({"name": "m", "definition": definition.to_string(), "roleArn": "arn:aws:iam::000000000000:role/any"});
    let machine = made("CreateStateMachine", machine, "stateMachineArn");
    let start = || made("StartExecution", json!({"stateMachineArn": machine}), "executionArn");
    let worked = start();
    let token = made("GetActivityTask", json!({"activityArn": activity}), "taskToken");
    let stopped = start();
    let succeed = json!({"taskToken": token, "output": "1"});
    let stop = json!({"executionArn": stopped});
    limit_files(&server, "1");
    for (operation, body) in [("SendTaskSuccess", &succeed), ("StopExecution", &stop)].repeat(2) {
        let answer = call(operation, body.clone());
        assert_eq!(answer.status, 503, "{operation}: {answer:?}");
    }
    limit_files(&server, "unlimited");
    for (operation, body, execution, status) in
        [("SendTaskSuccess", succeed, worked, "SUCCEEDED"), ("StopExecution", stop, stopped, "ABORTED")]
    {
        until(|| (call(operation, body.clone()).status == 200).then_some(()));
        until(|| {
            (made("DescribeExecution", json!({"executionArn": execution}), "status") == status).then_some(())
        });
    }
}

#[test]
fn a_port_that_is_taken() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    for (listen, sfn_listen) in [(address.as_str(), any), (any, address.as_str())] {
        let serve = ["serve", "--listen", listen, "--sfn-listen", sfn_listen];
        let option = if listen == any { "--sfn-listen names another" } else { "; --listen names another" };
        place.run(serve).check(1, &["cannot listen on", &address, option]);
    }
    let twice = ["serve", "--listen", "127.0.0.1:9", "--sfn-listen", "127.0.0.1:9"];
    place.run(twice).check(2, &["--listen and --sfn-listen both name 127.0.0.1:9"]);
}

#[test]
fn an_address_that_others_reach_is_refused() {
    let place = Place::new();
    for address in ["0.0.0.0:3000", "[::]:3000", "192.0.2.1:80"] {
        place.run(["serve", "--listen", address]).check(2, &["loopback"]);
        place.run(["serve", "--sfn-listen", address]).check(2, &["loopback"]);
    }
    place.run(["serve", "--listen", "localhost"]).check(2, &["--listen"]);
}

#[test]
fn one_process_works_on_a_folder_at_a_time() {
    let place = Place::new();
    let server = Server::start(&place);
    let records = place.file("records", contacts(1));
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["process", records.to_str().unwrap()],
        &["quarantine", "replay"],
    ] {
        place
            .run(command)
            .check(1, &["in use by another process", "crmflow serve", &server.process.0.id().to_string()]);
    }
    // To look only is no work.
    assert_eq!(place.run(["executions", "--json"]).json(), json!([]));
    server.process.signal("KILL");
    let api = Client::new(&server.base);
    crate::harness::http::until(|| api.try_post("/records", &[], b"").is_err().then_some(()));
    assert_eq!(place.process(&records)["outcomes"]["saved"], 1);
}

/// Runs `check` on a copy of the template that `edit` changes; it and the commands that run machines say what
/// is wrong, and end with 2.
#[track_caller]
fn check_template(edit: impl FnOnce(String) -> String, said: &[&str]) {
    let place = Place::new();
    let template = template(&place, |text| {
        let edited = edit(text.clone());
        assert_ne!(edited, text, "nothing was edited");
        edited
    });
    let records = place.file("records", contacts(1));
    for command in [&["check"][..], &["process", records.to_str().unwrap()], &["serve"]] {
        let ended = place.run([command, &["--template", template.to_str().unwrap()]].concat());
        ended.check(2, said);
    }
    assert!(!place.data().exists());
}

#[test]
fn a_template_with_a_missing_name_is_refused() {
    let replace = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    check_template(
        replace("\nResources:\n", "\nResources:\n  ScoreFunction: {Type: AWS::Serverless::Function}\n"),
        &["ScoreFunction", "no such function"],
    );
    check_template(
        replace("!Sub ${AWS::StackName}-PutOptIns", "!Sub ${AWS::StackName}-StoreOptIns"),
        &["PutOptIns", "there is no function crmflow-PutOptIns"],
    );
    check_template(replace("FunctionPrefix:", "Prefix:"), &["nothing is substituted for ${FunctionPrefix}"]);
    check_template(
        replace("\nResources:\n", "\nResources:\n  Cluster: {Type: AWS::ECS::Cluster}\n"),
        &["Cluster", "AWS::ECS::Cluster"],
    );
    check_template(
        replace("statemachines/records.asl.json", "statemachines/contacts.asl.json"),
        &["statemachines/contacts.asl.json", "No such file"],
    );
    check_template(
        replace("RecordsExpressStateMachine:", "FastStateMachine:"),
        &["no RecordsExpressStateMachine"],
    );
    check_template(
        replace("Queue: !GetAtt EventsQueue.Arn", "Queue: !GetAtt EventQueue.Arn"),
        &["ConsumeEventsFunction: Events: Queue is !GetAtt QUEUE.Arn"],
    );
    check_template(
        replace("FunctionResponseTypes: [ReportBatchItemFailures]", "FilterCriteria: {}"),
        &["ConsumeEventsFunction", "FilterCriteria is not honoured"],
    );
    check_template(
        replace("MaximumBatchingWindowInSeconds: 1", "MaximumBatchingWindowInSeconds: 0"),
        &["BatchSize is 1 to 10000"],
    );
    check_template(
        replace("deadLetterTargetArn: !GetAtt EventsDeadLetters.Arn", "deadLetterTargetArn: dead"),
        &["EventsQueue: RedrivePolicy.deadLetterTargetArn"],
    );
    check_template(|_| "Resources: [".to_owned(), &["the template is not YAML"]);
    check_template(|_| "Description: empty\n".to_owned(), &["no Resources"]);
}

/// What a machine uses and this host cannot do is refused when it is loaded, with state and field.
#[test]
fn a_machine_that_goes_nowhere_is_refused_by_state() {
    #[track_caller]
    fn check(from: &str, to: &str, said: &[&str]) {
        let place = Place::new();
        let template = template(&place, |text| text);
        let file = place.path("statemachines/records.asl.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
        place.run([Path::new("check"), Path::new("--template"), &template]).check(2, said);
    }
    check(r#""Next": "AnyInvalid""#, r#""Next": "AnyBad""#, &["ValidateSchema", "AnyBad"]);
    check(r#""Type": "Choice""#, r#""Type": "Chance""#, &["/States/AnyInvalid/Type", "Choice"]);
    check(r#""TimeoutSeconds": 35"#, r#""TimeOutSeconds": 35"#, &["ValidateSchema", "TimeOutSeconds"]);
    check(
        "${FunctionPrefix}ValidateSchema",
        "arn:aws:states:::sns:publish",
        &["ValidateSchema", "sns:publish"],
    );
    check(r#""StartAt": "Begin","#, "", &["StartAt"]);
    check("{", "[", &["records.asl.json"]);
}

#[test]
fn a_template_that_is_not_there() {
    let place = Place::new();
    place.run(["check", "--template", "nowhere.yaml"]).check(2, &["nowhere.yaml", "No such file"]);
}

/// The template of the repository is the one in the program.
#[test]
fn the_repository_s_template_is_sound() {
    let place = Place::new();
    let inside: Ended = place.run(["check"]);
    inside.check(0, &[]);
    let template = root().join("template.yaml");
    let outside = place.run([Path::new("check"), Path::new("--template"), &template]);
    outside.check(0, &[]);
    assert_eq!(inside.stdout, outside.stdout);
    assert!(inside.stdout.contains("RecordsExpressStateMachine (EXPRESS"), "{inside:?}");
}
