//! Against name servers on loopback: one that answers, and one that never does.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{net::UdpSocket, sync::watch};

use super::*;

/// What every name has here, as far as it has any.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A name server and the names that it was asked for.
struct Server {
    asked: watch::Receiver<BTreeSet<String>>,
    names: Arc<CachedResolver>,
    _files: tempfile::TempDir,
}

impl Server {
    async fn start(answers: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (send, asked) = watch::channel(BTreeSet::new());
        tokio::spawn(async move {
            let mut question = [0; 2048];
            loop {
                let (length, from): (usize, SocketAddr) = socket.recv_from(&mut question).await.unwrap();
                let (name, answer) = answer(&question[..length]);
                send.send_modify(|names| {
                    names.insert(name);
                });
                if answers {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let files = tempfile::tempdir().unwrap();
        let source = ResolverFiles {
            resolv_conf: files.path().join("resolv.conf"),
            hosts: files.path().join("hosts"),
            port: address.port(),
        };
        fs::write(&source.resolv_conf, "nameserver 127.0.0.1\nsearch inside.example\noptions ndots:5 timeout:30")
            .unwrap();
        fs::write(&source.hosts, "10.0.0.1 known.example\n::1 known.example\n").unwrap();
        let names = Arc::new(CachedResolver { source, current: Mutex::default(), permits: Semaphore::new(LOOKUPS) });
        Self { asked, names, _files: files }
    }
}

/// The name in a question (RFC 1035, section 4.1), and its answer: an address to who asks for IPv4, none else.
fn answer(question: &[u8]) -> (String, Vec<u8>) {
    let (mut at, mut name) = (12, String::new());
    while question[at] != 0 {
        let length = usize::from(question[at]);
        name.push_str(std::str::from_utf8(&question[at + 1..at + 1 + length]).unwrap());
        name.push('.');
        at += 1 + length;
    }
    let (kind, end) = (question[at + 2], at + 5);
    let answers = u8::from(kind == 1);
    let mut answer = question[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0]);
    if answers == 1 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(ADDRESS.octets());
    }
    (name, answer)
}

#[tokio::test]
async fn a_name_is_looked_up_as_it_stands() {
    let server = Server::start(true).await;
    assert_eq!(server.names.lookup("api.example").await.unwrap(), [IpAddr::from(ADDRESS)]);
    assert_eq!(server.names.lookup("single").await.unwrap(), [IpAddr::from(ADDRESS)]);
    let known = server.names.lookup("known.example").await.unwrap();
    assert_eq!(known, ["10.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()], "as the hosts file has it");
    // No search domain, and nothing of what the file knows.
    assert_eq!(*server.asked.borrow(), BTreeSet::from(["api.example.".to_owned(), "single.".to_owned()]));
    assert!(server.names.lookup("no name.example\u{7f}..").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lookup_ends_whether_it_is_answered_or_not() {
    let server = Server::start(false).await;
    let begun = Instant::now();
    assert!(server.names.lookup("silent.example").await.is_err());
    assert!(begun.elapsed() <= LOOKUP_TIMEOUT + Duration::from_secs(1));
    assert_eq!(server.names.permits.available_permits(), LOOKUPS);
}

#[tokio::test]
async fn who_gives_up_leaves_nothing_behind() {
    let mut server = Server::start(false).await;
    let asking: Vec<_> = (0..1_000)
        .map(|n| {
            let names = Arc::clone(&server.names);
            tokio::spawn(async move { names.lookup(&format!("x{n}.example")).await })
        })
        .collect();
    // As many as may are asked for, and no more of them.
    server.asked.wait_for(|asked| asked.len() == LOOKUPS).await.unwrap();
    assert_eq!(server.names.permits.available_permits(), 0);
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    for asking in asking {
        assert!(asking.await.is_err(), "it was given up");
    }
    assert_eq!(server.names.permits.available_permits(), LOOKUPS);
    assert!(server.asked.borrow().len() <= LOOKUPS);
    // Nobody waits for them: neither another lookup nor a thread.
    assert_eq!(server.names.lookup("known.example").await.unwrap().len(), 2);
}

#[tokio::test]
async fn impatient_callers_take_no_thread() {
    let server = Server::start(false).await;
    for n in 0..200 {
        let name = format!("y{n}.example");
        let asked = timeout(Duration::from_millis(1), server.names.lookup(&name)).await;
        assert!(asked.is_err(), "nobody answers");
    }
    assert_eq!(server.names.permits.available_permits(), LOOKUPS);
    let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    // The test's own runtime has one; the harness a few.
    assert!(threads < 64, "{threads} threads");
}

#[test]
fn name_servers_are_read_as_the_system_has_them() {
    let text = "# comment\nsearch a.example\nnameserver 192.0.2.1\n nameserver\tfe80::1%eth0 \nnameserver x\noptions ndots:5\n";
    let expected: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
    assert_eq!(name_servers(text.as_bytes()), expected);
    assert_eq!(name_servers(b""), [IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(name_servers(&b"nameserver 192.0.2.1\n".repeat(9)).len(), MOST_SERVERS);
}
