//! What is not a request is refused by every route of the document in the same way: a body that is too large, of
//! another type or no JSON, a method that the path does not take, a path that is none.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{documented::DOCUMENT, support::World};

const MIB: usize = 1024 * 1024;
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

/// How many bytes a route takes.
fn limit(path: &str) -> usize {
    match path {
        "/v1/pipelines/{id}/definition" => 24 * MIB,
        path if path.starts_with("/v1/auth/") => 16 * 1024,
        _ => 2 * MIB,
    }
}

/// Every operation: its method in capitals and its path, and whether it has a body.
fn operations() -> Vec<(String, &'static str, bool)> {
    let mut all = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.as_str(), operation["requestBody"].is_object()));
        }
    }
    all
}

/// A path whose parameters are ids, and lead nowhere.
fn filled(path: &str) -> String {
    let part = |part: &str| match part {
        "{number}" | "{other}" => "1".to_owned(),
        part if part.starts_with('{') => "0198c8f0-0000-7000-8000-000000000001".to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What comes back, as it came.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    /// Fails the test unless it is a problem of this status and code.
    #[track_caller]
    fn problem(self, at: &str, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{at}: {} {}", self.head, self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{at}");
        assert_eq!((&self.body["code"], &self.body["status"]), (&code.into(), &status.into()), "{at}: {}", self.body);
        assert!(self.body["request_id"].is_string(), "{at}: {}", self.body);
        self
    }

    fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.split(':').next().is_some_and(|sent| sent.eq_ignore_ascii_case(name));
        self.head.lines().find(named)?.split_once(':').map(|(_, value)| value.trim())
    }
}

/// Sends a request as it is written here.
async fn send(world: &World, token: &str, (method, path): (&str, &str), headers: &str, body: &[u8]) -> Answer {
    let host = world.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(body).await;
    let mut received = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut answer = Answer { status: 0, head: head.to_owned(), body: Value::Null };
            let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                answer.status = head.split(' ').nth(1).unwrap().parse().unwrap();
                answer.body = serde_json::from_str(body).unwrap_or_default();
                return answer;
            }
        }
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{method} {path}: the answer ended early: {text}");
        received.extend_from_slice(&buffer[..read]);
    }
}

fn json_of(length: usize) -> String {
    format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
}

#[tokio::test]
async fn no_route_takes_more_than_its_limit() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let mut seen = 0;
    for (method, path, _) in operations().into_iter().filter(|(.., body)| *body) {
        let (most, to) = (limit(path), filled(path));
        let at = format!("{method} {path}");
        let whole = vec![b' '; most + 1];
        let answer = send(&world, &ann.token, (&method, &to), &json_of(whole.len()), &whole).await;
        let answer = answer.problem(&at, 413, "too_large");
        assert_eq!(answer.body["limit"]["name"], "body_bytes", "{at}: {}", answer.body);
        assert_eq!(answer.body["limit"]["value"], most, "{at}: {}", answer.body);
        let mut chunked = format!("{:x}\r\n", whole.len()).into_bytes();
        chunked.extend_from_slice(&whole);
        chunked.extend_from_slice(b"\r\n0\r\n\r\n");
        let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
        let answer = send(&world, &ann.token, (&method, &to), headers, &chunked).await;
        assert_eq!(answer.problem(&at, 413, "too_large").body["limit"]["value"], most, "{at}");
        // As much as the limit is read: it is no JSON, and that is what is said of it.
        let answer = send(&world, &ann.token, (&method, &to), &json_of(most), &whole[..most]).await;
        answer.problem(&at, 400, "bad_request");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[tokio::test]
async fn an_invalid_body_is_reported_with_its_position() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for (method, path, _) in operations().into_iter().filter(|(.., body)| *body) {
        let (at, to) = (format!("{method} {path}"), filled(path));
        let broken = b"{\n  \"a\": 1,,}";
        let answer = send(&world, &ann.token, (&method, &to), &json_of(broken.len()), broken).await;
        // A field that no body has may be met first, and is reported by its place too.
        if answer.status == 400 {
            let detail = answer.problem(&at, 400, "bad_request").body["detail"].to_string();
            assert!(detail.contains("line 2"), "{at}: {detail}");
        } else {
            assert!(answer.problem(&at, 422, "invalid").body["errors"][0]["pointer"].is_string(), "{at}");
        }
        let answer = send(&world, &ann.token, (&method, &to), &json_of(1), b"{").await;
        let detail = answer.problem(&at, 400, "bad_request").body["detail"].to_string();
        assert!(detail.contains("line 1 column 2"), "{at}: {detail}");
        let text = "Content-Type: text/plain\r\nContent-Length: 2\r\n";
        send(&world, &ann.token, (&method, &to), text, b"{}").await.problem(&at, 415, "unsupported_media_type");
        let none = "Content-Length: 2\r\n";
        send(&world, &ann.token, (&method, &to), none, b"{}").await.problem(&at, 415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn an_unsupported_method_is_answered_with_the_allowed_ones() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let mut taken: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let other = METHODS.into_iter().find(|method| !taken.contains(*method)).unwrap();
        if taken.contains("GET") {
            taken.insert("HEAD".into());
        }
        for method in [other, "TRACE"] {
            let answer = send(&world, &ann.token, (method, &filled(path)), "", b"").await;
            let answer = answer.problem(&format!("{method} {path}"), 405, "method_not_allowed");
            let allowed = answer.header("allow").unwrap_or_default();
            let allowed: BTreeSet<String> = allowed.split(',').map(|method| method.trim().to_owned()).collect();
            assert_eq!(allowed, taken, "{method} {path}");
        }
        for below in ["/nothing", "/"] {
            let at = format!("{}{below}", filled(path));
            if !at.contains("/kv/") && DOCUMENT["paths"].get(&at).is_none() && !is_one_with_a_parameter(&at) {
                send(&world, &ann.token, ("GET", &at), "", b"").await.problem(&at, 404, "not_found");
            }
        }
    }
}

/// Whether a path of the document fits, with a parameter at its end.
fn is_one_with_a_parameter(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(part, given)| part == given || part.starts_with('{'))
    };
    DOCUMENT["paths"].as_object().unwrap().keys().any(|template| fits(template))
}
