//! Requests against servers on loopback and names that resolve to what the test says.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use lua_wasm_host::{CallFailure, Grants};

use super::*;

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: Url::parse(url).unwrap(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(20),
        max_response_bytes: 1024,
        max_redirects: 0,
        grants: Grants { http: vec!["*".parse().unwrap()], ..Grants::default() },
    }
}

fn names(names: &[(&str, &[&str])]) -> Lookup {
    let names: HashMap<String, Vec<IpAddr>> = names
        .iter()
        .map(|(name, ips)| ((*name).to_owned(), ips.iter().map(|ip| ip.parse().unwrap()).collect()))
        .collect();
    Arc::new(move |name| {
        let found = names.get(&name).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such name")) })
    })
}

fn outbound(allow_loopback: bool, lookup: &Lookup) -> OutboundHttp {
    OutboundHttp::with_lookup(HttpPolicy { allow_loopback, ..HttpPolicy::default() }, lookup).unwrap()
}

fn code<T: std::fmt::Debug>(result: CallResult<T>) -> String {
    match result {
        Err(CallFailure::Raise(error)) => error.code.into_owned(),
        other => panic!("not an error for the script: {other:?}"),
    }
}

type Seen = Arc<Mutex<Vec<(String, String, HashMap<String, String>)>>>;

/// A server that remembers what it was asked and answers as its path says.
async fn server() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let answer = |State(seen): State<Seen>, request: Request| async move {
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let uri = request.uri().to_string();
        seen.lock().unwrap().push((request.method().to_string(), uri.clone(), headers));
        let (path, rest) = uri.split_once('?').unwrap_or((&uri, ""));
        let response = Response::builder();
        match path {
            "/redirect" | "/redirect-same" => {
                let target: String = url::form_urlencoded::parse(rest.as_bytes()).next().unwrap().1.into_owned();
                let status = if path == "/redirect" { 302 } else { 307 };
                response.status(status).header("location", target).body(Body::empty()).unwrap()
            }
            "/long" => Response::new(Body::from("x".repeat(2000))),
            "/endless" => {
                let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(100)));
                Response::new(Body::from_stream(chunks))
            }
            "/silent" => std::future::pending().await,
            _ => response.status(200).header("x-answer", "yes").body(Body::from("hello")).unwrap(),
        }
    };
    let app = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

#[tokio::test]
async fn literal_addresses_are_refused_however_they_are_spelt() {
    let outbound = outbound(false, &names(&[]));
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
    ] {
        let url = format!("https://{host}/");
        assert_eq!(code(outbound.send(request(&url), "key").await), "http_address_not_allowed", "{host}");
    }
}

#[tokio::test]
async fn names_that_resolve_inside_are_refused() {
    let lookup = names(&[
        ("loopback.example", &["127.0.0.1"]),
        ("metadata.example", &["169.254.169.254"]),
        ("mapped.example", &["::ffff:127.0.0.1", "::1"]),
        ("private.example", &["10.1.2.3", "192.168.0.1", "fd00::1"]),
        ("localhost", &["127.0.0.1", "::1"]),
    ]);
    let outbound = outbound(false, &lookup);
    for name in ["loopback.example", "metadata.example", "mapped.example", "private.example", "localhost"] {
        let url = format!("https://{name}/");
        assert_eq!(code(outbound.send(request(&url), "key").await), "http_address_not_allowed", "{name}");
    }
    assert_eq!(code(outbound.send(request("https://nowhere.example/"), "key").await), "http_connect");
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    let (address, seen) = server().await;
    let lookup = names(&[("world.example", &["8.8.8.8"]), ("here.example", &["8.8.8.8", "127.0.0.1"])]);
    let url = format!("http://{address}/");
    assert_eq!(code(outbound(false, &lookup).send(request(&url), "key").await), "http_insecure");
    let outbound = outbound(true, &lookup);
    assert_eq!(outbound.send(request(&url), "key").await.unwrap().status, 200);
    assert_eq!(code(outbound.send(request("http://8.8.8.8/"), "key").await), "http_address_not_allowed");
    assert_eq!(code(outbound.send(request("http://world.example/"), "key").await), "http_address_not_allowed");
    // Of a name with several addresses, those within reach are used.
    let url = format!("http://here.example:{}/", address.port());
    assert_eq!(outbound.send(request(&url), "key").await.unwrap().body, b"hello");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].2["host"], format!("here.example:{}", address.port()));
}

#[tokio::test]
async fn an_answer_comes_whole_or_not_at_all() {
    let (address, _) = server().await;
    let outbound = outbound(true, &names(&[]));
    let answer = outbound.send(request(&format!("http://{address}/")), "key").await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    assert!(answer.headers.contains(&("x-answer".to_owned(), "yes".to_owned())));
    for path in ["long", "endless"] {
        let url = format!("http://{address}/{path}");
        assert_eq!(code(outbound.send(request(&url), "key").await), "http_response_limit", "{path}");
    }
    let mut silent = request(&format!("http://{address}/silent"));
    silent.timeout = Duration::from_millis(50);
    assert_eq!(code(outbound.send(silent, "key").await), "http_timeout");
}

#[tokio::test]
async fn a_redirect_is_the_answer_unless_asked_to_follow() {
    let (address, seen) = server().await;
    let outbound = outbound(true, &names(&[]));
    let url = format!("http://{address}/redirect?to=/end");
    assert_eq!(outbound.send(request(&url), "key").await.unwrap().status, 302);
    let follow = HttpRequest { max_redirects: 1, ..request(&url) };
    assert_eq!(outbound.send(follow, "key").await.unwrap().body, b"hello");
    assert_eq!(seen.lock().unwrap().last().unwrap().1, "/end");

    // No more of them than asked for, and never more than three.
    let mut chain = "/end".to_owned();
    for _ in 0..5 {
        let to: String = url::form_urlencoded::byte_serialize(chain.as_bytes()).collect();
        chain = format!("/redirect?to={to}");
    }
    let follow = HttpRequest { max_redirects: 100, ..request(&format!("http://{address}{chain}")) };
    let before = seen.lock().unwrap().len();
    assert_eq!(outbound.send(follow, "key").await.unwrap().status, 302);
    assert_eq!(seen.lock().unwrap().len() - before, 4);
}

#[tokio::test]
async fn every_hop_is_checked_again() {
    let (address, _) = server().await;
    let outbound = outbound(true, &names(&[("inside.example", &["10.0.0.1"])]));
    for (target, expected) in [
        ("https://169.254.169.254/latest/meta-data", "http_address_not_allowed"),
        ("https://[::ffff:127.0.0.1]/", "http_address_not_allowed"),
        ("https://inside.example/", "http_address_not_allowed"),
        ("file:///etc/passwd", "http_redirect_not_allowed"),
        ("http://", "http_bad_redirect"),
    ] {
        let to: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let follow = HttpRequest { max_redirects: 3, ..request(&format!("http://{address}/redirect?to={to}")) };
        assert_eq!(code(outbound.send(follow, "key").await), expected, "{target}");
    }
    // A hop outside of what the step was granted.
    let mut follow = request(&format!("http://{address}/redirect?to=http%3A%2F%2Flocalhost%3A1%2F"));
    follow.max_redirects = 3;
    follow.grants.http = vec![format!("http://{address}").parse().unwrap()];
    assert_eq!(code(outbound.send(follow, "key").await), "http_redirect_not_allowed");
}

#[tokio::test]
async fn credentials_stay_with_their_origin_and_a_post_becomes_a_get() {
    let (first, _) = server().await;
    let (second, seen) = server().await;
    let outbound = outbound(true, &names(&[]));
    let to: String = url::form_urlencoded::byte_serialize(format!("http://{second}/end").as_bytes()).collect();
    let mut follow = request(&format!("http://{first}/redirect?to={to}"));
    follow.max_redirects = 1;
    follow.method = "POST".to_owned();
    follow.body = b"body".to_vec();
    follow.headers = vec![("Authorization".to_owned(), "secret".to_owned()), ("Accept".to_owned(), "a/b".to_owned())];
    assert_eq!(outbound.send(follow, "key").await.unwrap().status, 200);
    let seen = seen.lock().unwrap();
    let (method, _, headers) = &seen[0];
    assert_eq!(method, "GET");
    assert_eq!(headers.get("accept").map(String::as_str), Some("a/b"));
    assert!(!headers.contains_key("authorization") && !headers.contains_key("idempotency-key"));
    assert!(!headers.contains_key("content-length") || headers["content-length"] == "0");
}

#[tokio::test]
async fn every_request_carries_its_idempotency_key() {
    let (address, seen) = server().await;
    let outbound = outbound(true, &names(&[]));
    outbound.send(request(&format!("http://{address}/")), "the-key").await.unwrap();
    assert_eq!(seen.lock().unwrap()[0].2["idempotency-key"], "the-key");
}

#[tokio::test]
async fn odd_methods_are_refused() {
    let outbound = outbound(true, &names(&[]));
    for method in ["CONNECT", "TRACE", "GET / HTTP/1.1\r\nX", ""] {
        let odd = HttpRequest { method: method.to_owned(), ..request("http://127.0.0.1:1/") };
        assert_eq!(code(outbound.send(odd, "key").await), "http_bad_method", "{method}");
    }
}

#[tokio::test]
async fn the_operators_networks_are_out_of_reach() {
    let (address, seen) = server().await;
    let lookup = names(&[
        ("ours.example", &["203.0.114.9", "2a00:1450::1"]),
        ("mapped.example", &["::ffff:8.8.8.8"]),
        ("local.example", &["127.0.0.1"]),
    ]);
    let denied = ["203.0.114.0/24", "2a00:1450::/32", "8.8.8.0/24", "::1/128"].map(|text| text.parse().unwrap());
    let policy = HttpPolicy { allow_loopback: true, denied_networks: denied.to_vec() };
    let outbound = OutboundHttp::with_lookup(policy.clone(), &lookup).unwrap();
    for host in
        ["ours.example", "mapped.example", "203.0.114.9", "[2a00:1450::1]", "8.8.8.8", "[::ffff:8.8.8.8]", "[::1]"]
    {
        let url = format!("https://{host}/");
        assert_eq!(code(outbound.send(request(&url), "key").await), "http_address_not_allowed", "{host}");
    }
    // Each hop too.
    let follow = HttpRequest {
        max_redirects: 1,
        ..request(&format!("http://{address}/redirect?to=https%3A%2F%2F203.0.114.9%2F"))
    };
    assert_eq!(code(outbound.send(follow, "key").await), "http_address_not_allowed");
    assert_eq!(seen.lock().unwrap().len(), 1);
    // Goes before what is allowed otherwise.
    let policy = HttpPolicy { denied_networks: vec!["127.0.0.0/8".parse().unwrap()], ..policy };
    let outbound = OutboundHttp::with_lookup(policy, &lookup).unwrap();
    for host in ["127.0.0.1", "local.example"] {
        let url = format!("http://{host}:{}/", address.port());
        assert_eq!(code(outbound.send(request(&url), "key").await), "http_address_not_allowed", "{host}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn each_hop_of_a_redirect_counts_as_sent() {
    let (address, _) = server().await;
    let outbound = outbound(true, &names(&[]));
    let sent = Mutex::new(Vec::new());
    let mut follow = request(&format!("http://{address}/redirect-same?to=/end"));
    follow.method = "PUT".to_owned();
    follow.body = vec![b'x'; 1_000];
    follow.max_redirects = 1;
    let record = |bytes| {
        sent.lock().unwrap().push(bytes);
        true
    };
    let answer = outbound.send_metered(follow.clone(), "key", &record);
    assert_eq!(answer.await.unwrap().body, b"hello");
    let sent = sent.into_inner().unwrap();
    assert!(sent.len() == 2 && sent.iter().all(|bytes| *bytes > 1_000), "{sent:?}");
    // What is left may suffice for the first alone.
    let left = Mutex::new(1_500_u64);
    let spend = |bytes| {
        let mut left = left.lock().unwrap();
        left.checked_sub(bytes).map(|rest| *left = rest).is_some()
    };
    let answer = outbound.send_metered(follow, "key", &spend);
    assert_eq!(code(answer.await), "quota_exceeded");
}
