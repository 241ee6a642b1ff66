//! Listeners: bound before anything is served, stopped with a deadline.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::Router;
use axum_server::{
    Handle,
    accept::{Accept, NoDelayAcceptor},
    tls_rustls::RustlsConfig,
};
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, task::JoinSet, time};

use super::{
    client_certificate::WithCertificates,
    pace::{Paced, WRITE_TIMEOUT},
};
use crate::{
    failure::{Failure, Outcome},
    settings::network::ListenOn,
};

/// How long the head of a request may take to come, and a connection be idle. Longer than clients of ours
/// and the proxy keep a connection that they do not use: none is closed under a request.
const HEAD: Duration = Duration::from_secs(30);

/// A bound address at which nothing is served yet; connections wait.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The address, with the port that was chosen when 0 was asked for.
    pub(crate) address: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// Binds every address that `setting` names.
    pub(super) fn bind_all(on: &ListenOn, setting: &str) -> Outcome<Vec<Self>> {
        let addresses = on.addresses().map_err(|error| {
            Failure::new(format!("cannot listen on {on}: {error}")).help(format!("name another address with {setting}"))
        })?;
        addresses.into_iter().map(|address| Self::bind(address, setting)).collect()
    }

    /// Of a socket that listens already, and does not block.
    pub(crate) fn from_socket(socket: TcpListener) -> io::Result<Self> {
        Ok(Self { address: socket.local_addr()?, socket })
    }

    /// Binds the address that `setting` names.
    pub(crate) fn bind(address: SocketAddr, setting: &str) -> Outcome<Self> {
        let bound = || -> io::Result<Self> {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            Self::from_socket(socket)
        };
        bound().map_err(|error| {
            Failure::new(format!("cannot listen on {address}: {error}"))
                .help(format!("name another address with {setting}"))
        })
    }
}

/// Running listeners.
#[derive(Debug)]
pub(crate) struct RunningServers {
    head: Duration,
    patience: Duration,
    handles: Vec<Handle<SocketAddr>>,
    tasks: JoinSet<(&'static str, io::Result<()>)>,
}

impl Default for RunningServers {
    fn default() -> Self {
        Self { head: HEAD, patience: WRITE_TIMEOUT, handles: Vec::new(), tasks: JoinSet::new() }
    }
}

impl RunningServers {
    /// Serves a router, over TLS when there is a certificate.
    pub(crate) fn serve(
        &mut self,
        name: &'static str,
        listener: Listener,
        router: Router,
        tls: Option<RustlsConfig>,
    ) -> io::Result<()> {
        let handle = Handle::new();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        // A frame must not wait for the next one to fill a packet.
        let mut server = axum_server::from_tcp(listener.socket)?.handle(handle.clone());
        // Who says nothing, or only half of what he wants, is not waited for, nor who does not read. Bodies have
        // their own bounds.
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(self.head);
        self.handles.push(handle);
        if let Some(tls) = tls {
            let server = server.acceptor(WithCertificates::new(tls, Pacing { patience: self.patience }));
            self.tasks.spawn(async move { (name, server.serve(service).await) });
        } else {
            let server = server.acceptor(HeadTimeout { within: self.head, pacing: Pacing { patience: self.patience } });
            self.tasks.spawn(async move { (name, server.serve(service).await) });
        }
        Ok(())
    }

    /// Waits until a listener ends by itself, which none should.
    pub(crate) async fn failed(&mut self) -> Failure {
        let why = match self.tasks.join_next().await {
            Some(Ok((name, Err(error)))) => format!("{name} failed: {error}"),
            Some(Ok((name, Ok(())))) => format!("{name} ended unexpectedly"),
            Some(Err(error)) => format!("a listener failed: {error}"),
            None => return std::future::pending().await,
        };
        Failure::new(why).help("start the service again; See its log for details.")
    }

    /// Accepts nothing any more, lets requests under way finish, and ends after `deadline` at the
    /// latest.
    pub(crate) async fn stop(mut self, deadline: Duration) {
        for handle in &self.handles {
            handle.graceful_shutdown(Some(deadline));
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Takes connections whose other end has to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacing {
    patience: Duration,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Pacing {
    type Stream = Paced<TcpStream>;
    type Service = S;
    type Future = BoxFuture<'static, io::Result<(Paced<TcpStream>, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let patience = self.patience;
        Box::pin(async move {
            let (stream, service) = NoDelayAcceptor::new().accept(stream, service).await?;
            Ok((Paced::new(stream, patience), service))
        })
    }
}

/// Takes connections on which a request in HTTP/1.1 begins within a time. The server underneath waits for the first
/// bytes however long they take, to see which version they are of; and if it is informed that it is the first, it
/// upgrades nothing to a WebSocket.
#[derive(Debug, Clone, Copy)]
struct HeadTimeout {
    within: Duration,
    pacing: Pacing,
}

impl<S: Send + 'static> Accept<TcpStream, S> for HeadTimeout {
    type Stream = Paced<TcpStream>;
    type Service = S;
    type Future = BoxFuture<'static, io::Result<(Paced<TcpStream>, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Self { within, pacing } = *self;
        Box::pin(async move {
            time::timeout(within, first_version(&stream)).await??;
            pacing.accept(stream, service).await
        })
    }
}

/// Waits until it is certain that what comes is not the preface of HTTP/2 (RFC 9113, section 3.4), which begins
/// with `PRI`: no method of ours begins with `PR`.
async fn first_version(stream: &TcpStream) -> io::Result<()> {
    let mut begin = [0; 2];
    loop {
        match stream.peek(&mut begin).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            2 if begin == *b"PR" => return Err(io::ErrorKind::Unsupported.into()),
            // What is there stays readable: the second byte cannot be waited for.
            1 if begin[0] == b'P' => time::sleep(Duration::from_millis(10)).await,
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn half_a_head_is_not_waited_for() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), "none").unwrap();
        let address = listener.address;
        let mut serving = RunningServers { head: Duration::from_millis(100), ..RunningServers::default() };
        serving.serve("a test", listener, Router::new().route("/", get(async || "here")), None).unwrap();
        for sent in ["", "G", "P", "GET / HTTP/1.1\r\nHost: local", "PRI * HTTP/2.0\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // It ends, with or without an answer; who is cut off meanwhile sees an error.
            let _ = stream.read_to_string(&mut answer).await;
            assert!(!answer.contains("200"), "{sent}: {answer}");
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: local\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("here"), "{answer}");
        serving.stop(Duration::ZERO).await;
    }

    /// Says when it is dropped.
    struct Held(tokio::sync::mpsc::Sender<()>);

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), "none").unwrap();
        let address = listener.address;
        let mut serving = RunningServers { patience: Duration::from_millis(200), ..RunningServers::default() };
        let (sender, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let endless = get(async move || {
            let held = Held(sender);
            let slices = futures_util::stream::repeat_with(move || {
                let _ = &held;
                Ok::<_, io::Error>(vec![0; 64 * 1024])
            });
            axum::body::Body::from_stream(slices)
        });
        serving.serve("a test", listener, Router::new().route("/", endless), None).unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: local\r\n\r\n").await.unwrap();
        time::timeout(Duration::from_mins(1), gone.recv()).await.expect("the answer is dropped");
        drop(stream);
        serving.stop(Duration::ZERO).await;
    }
}
