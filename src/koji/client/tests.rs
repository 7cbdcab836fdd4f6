//! The client against a server of one thread that answers what a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use http::{ClientOptions, Retry};

use super::*;
use crate::{BuildState, TaskState};

/// A server that gives these answers, one a connection, and passes on the head and body of what it was asked.
pub(crate) fn hub(answers: Vec<String>) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/kojihub", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line.to_ascii_lowercase());
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            sender.send((head, String::from_utf8(body).unwrap())).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, asked)
}

/// A server whose every answer begins well and does not end.
pub(crate) fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/kojihub", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            drop(stream.read(&mut asked));
            let mut piece = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
            while stream.write_all(&piece).is_ok() {
                piece = vec![b' '; 64 << 10];
            }
        }
    });
    url
}

pub(crate) fn http_answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// An answer whose value is written as a call writes it.
fn says(value: &Value) -> String {
    let call = wire::call("x", std::slice::from_ref(value));
    let params = call.split_once("<params>").unwrap().1.split_once("</params>").unwrap().0;
    http_answer("200 OK", &format!("<methodResponse><params>{params}</params></methodResponse>"))
}

fn faults(code: i64, text: &str) -> String {
    let call = wire::call("x", &[json!({ "faultCode": code, "faultString": text })]);
    let value = call.split_once("<param>").unwrap().1.split_once("</param>").unwrap().0;
    http_answer("200 OK", &format!("<methodResponse><fault>{value}</fault></methodResponse>"))
}

fn client(url: &str) -> HubClient {
    let options = ClientOptions { retry: Retry::never(), ..ClientOptions::default() };
    let login = Login::Password { user: "osbs".to_owned(), password: Secret::new("secret") };
    let client = HubClient::new(url, Client::new(&options).unwrap(), login).unwrap();
    client.with_offline_waits(vec![Duration::ZERO; 2])
}

#[test]
fn a_build_is_asked_for_anonymously_and_null_is_none() {
    let build = json!({ "id": 5, "nvr": "a-1-2", "state": 1, "extra": { "image": { "index": null } } });
    let (url, asked) = hub(vec![says(&build), says(&Value::Null)]);
    let client = client(&url);
    let extra = Some("{\"image\":{\"index\":null}}".to_owned());
    let expected = BuildInfo { id: 5, nvr: "a-1-2".to_owned(), state: BuildState::Complete, extra };
    assert_eq!(client.build("a-1-2").unwrap(), Some(expected));
    assert_eq!(client.build_by_id(7).unwrap(), None);
    let (head, body) = asked.recv().unwrap();
    assert!(head.contains("content-type: text/xml") && !head.contains("koji-session"), "{head}");
    assert!(body.contains("<methodName>getBuild</methodName>") && body.contains("<string>a-1-2</string>"), "{body}");
    assert!(asked.recv().unwrap().1.contains("<int>7</int>"));
}

#[test]
fn targets_archives_tasks_and_searches_are_read() {
    let target = json!({ "name": "t", "build_tag_name": "b", "dest_tag_name": "d" });
    let task = json!({ "id": 3, "method": "image", "state": 2 });
    let answers = [
        target,
        json!([{ "id": 9, "btype": "image", "extra": null }]),
        task,
        json!([{ "id": 4, "name": "a-1-3" }]),
        json!([]),
        json!({ "arches": "x86_64 s390x" }),
        json!({ "id": 12 }),
        json!("3"),
        json!(1),
    ];
    let (url, asked) = hub(answers.iter().map(says).collect());
    let client = client(&url);
    let target = BuildTarget { name: "t".to_owned(), build_tag: "b".to_owned(), destination_tag: "d".to_owned() };
    assert_eq!(client.build_target("t").unwrap(), Some(target));
    assert_eq!(client.archives(5).unwrap(), [Archive { id: 9, kind: "image".to_owned(), extra: None }]);
    let task = TaskInfo { id: 3, method: "image".to_owned(), state: TaskState::Closed };
    assert_eq!(client.task(3).unwrap(), Some(task));
    assert_eq!(client.newest_build("^a-1-").unwrap(), Some(4));
    assert_eq!(client.newest_build("^b-1-").unwrap(), None);
    assert_eq!(client.architectures("b").unwrap(), ["x86_64", "s390x"]);
    assert_eq!(client.repository("b").unwrap(), Some(12));
    assert_eq!(client.next_release("a", "1").unwrap(), "3");
    assert_eq!(client.api_version().unwrap(), 1);
    let search = asked.iter().nth(3).unwrap().1;
    assert!(search.contains("__starstar") && search.contains("<string>-build.id</string>"), "{search}");
}

#[test]
fn a_fault_is_an_error_and_a_hub_that_is_offline_is_asked_again() {
    let (url, _asked) = hub(vec![faults(1000, "no such tag"), faults(1014, "offline"), says(&json!("2"))]);
    let client = client(&url);
    let error = client.architectures("nosuch").unwrap_err();
    assert_eq!(error.to_string(), "getBuildConfig: the hub answered fault 1000: no such tag");
    assert_eq!(client.next_release("a", "1").unwrap(), "2");
}

#[test]
fn a_hub_that_stays_offline_is_given_up() {
    let (url, _asked) = hub(vec![faults(1014, "offline"); 3]);
    assert_eq!(client(&url).next_release("a", "1").unwrap_err().code(), Some(1014));
}

#[test]
fn what_is_no_answer_of_a_hub_is_said() {
    let (url, _asked) = hub(vec![http_answer("403 Forbidden", "<html>no"), http_answer("200 OK", "<html/>")]);
    let client = client(&url);
    let error = client.build("a-1-1").unwrap_err().to_string();
    assert_eq!(error, format!("getBuild: {url}: the hub answered HTTP 403 Forbidden"));
    let error = client.build("a-1-1").unwrap_err().to_string();
    assert!(error.ends_with("the answer is not XML-RPC: expected methodResponse, found <html>"), "{error}");
}

#[test]
fn a_session_is_begun_once_and_its_calls_are_numbered() {
    let session = json!({ "session-id": 8, "session-key": "k", "header-auth": true });
    let reserved = json!({ "build_id": 5, "token": "t" });
    let (url, asked) = hub(vec![says(&session), says(&reserved), says(&Value::Null)]);
    let client = client(&url);
    let nvr = Nvr::parse("a-1-2").unwrap();
    let reservation = client.reserve("cg", &nvr).unwrap();
    assert_eq!(reservation, Reservation { build_id: 5, token: Secret::new("t") });
    client.refund("cg", &reservation, Refund::Canceled).unwrap();
    assert!(asked.recv().unwrap().1.contains("<methodName>login</methodName>"));
    let head = asked.recv().unwrap().0;
    assert!(head.contains("koji-session-id: 8") && head.contains("koji-session-callnum: 0"), "{head}");
    let (head, body) = asked.recv().unwrap();
    assert!(head.contains("koji-session-callnum: 1") && body.contains("<int>4</int>"), "{head}{body}");
}

#[test]
fn a_session_that_is_over_is_begun_anew() {
    let session = json!({ "session-id": 8, "session-key": "k", "header-auth": false });
    let reserved = json!({ "build_id": 5, "token": "t" });
    let (url, asked) = hub(vec![says(&session), faults(1007, "over"), says(&session), says(&reserved)]);
    client(&url).reserve("cg", &Nvr::parse("a-1-2").unwrap()).unwrap();
    let head = asked.iter().nth(3).unwrap().0;
    assert!(head.starts_with("post /kojihub?session-id=8&session-key=k&callnum=0 "), "{head}");
}

#[test]
fn a_call_that_needs_a_login_says_why_there_is_none() {
    let http = Client::new(&ClientOptions::default()).unwrap();
    let client =
        HubClient::new("http://127.0.0.1:1/", http, Login::Missing("there is no password".to_owned())).unwrap();
    let error = client.reserve("cg", &Nvr::parse("a-1-2").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "CGInitBuild needs a login at the hub: there is no password");
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let error = client(&endless()).api_version().unwrap_err().to_string();
    assert!(error.contains("the answer is larger than the 16777216 bytes allowed"), "{error}");
}
