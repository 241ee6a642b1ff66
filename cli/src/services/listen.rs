//! Listeners: bound before anything is served, stopped with a deadline.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::Router;
use axum_server::{
    Handle,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use tokio::task::JoinSet;

use crate::failure::{Failure, Outcome};

/// A bound address at which nothing is served yet; connections wait.
#[derive(Debug)]
pub(super) struct Listener {
    /// The address, with the port that was chosen when 0 was asked for.
    pub(super) address: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// Binds the address that `setting` names.
    pub(super) fn bind(address: SocketAddr, setting: &str) -> Outcome<Self> {
        let bound = || -> io::Result<Self> {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(Self { address: socket.local_addr()?, socket })
        };
        bound().map_err(|error| {
            Failure::new(format!("cannot listen on {address}: {error}"))
                .help(format!("name another address with {setting}"))
        })
    }
}

/// Listeners at work.
#[derive(Debug, Default)]
pub(super) struct Serving {
    handles: Vec<Handle<SocketAddr>>,
    tasks: JoinSet<(&'static str, io::Result<()>)>,
}

impl Serving {
    /// Serves a router, over TLS when there is a certificate.
    pub(super) fn serve(
        &mut self,
        name: &'static str,
        listener: Listener,
        router: Router,
        tls: Option<RustlsConfig>,
    ) -> io::Result<()> {
        let handle = Handle::new();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        // A frame must not wait for the next one to fill a packet.
        let server = axum_server::from_tcp(listener.socket)?.handle(handle.clone());
        self.handles.push(handle);
        if let Some(tls) = tls {
            let server = server.acceptor(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor));
            self.tasks.spawn(async move { (name, server.serve(service).await) });
        } else {
            let server = server.acceptor(NoDelayAcceptor);
            self.tasks.spawn(async move { (name, server.serve(service).await) });
        }
        Ok(())
    }

    /// Waits until a listener ends by itself, which none should.
    pub(super) async fn failed(&mut self) -> Failure {
        let why = match self.tasks.join_next().await {
            Some(Ok((name, Err(error)))) => format!("{name} broke down: {error}"),
            Some(Ok((name, Ok(())))) => format!("{name} ended by itself"),
            Some(Err(error)) => format!("a listener broke down: {error}"),
            None => return std::future::pending().await,
        };
        Failure::new(why).help("start the service again; its log tells more")
    }

    /// Accepts nothing any more, lets requests under way finish, and ends after `deadline` at the
    /// latest.
    pub(super) async fn stop(mut self, deadline: Duration) {
        for handle in &self.handles {
            handle.graceful_shutdown(Some(deadline));
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
