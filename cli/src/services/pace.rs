//! Connections whose other end reads: while something waits to be written, the other end has to take it at a least
//! rate, else the connection is closed and what was kept for it is free again. One that has nothing to read may be
//! idle for as long as it likes, a WebSocket for days.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long the other end may take nothing.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The least rate at which it takes what waits, in bytes a second.
const LEAST_RATE: u64 = 8 * 1024;

/// A connection on which a write makes progress, or fails with [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    patience: Duration,
    /// While a write waits: until when it may.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: None }
    }

    /// What became of an attempt to write `wanted` bytes.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(written)) if written < wanted => {
                // Some of it waits: what was taken earns time.
                let latest = Instant::now() + self.patience;
                let earned = Duration::from_micros(written as u64 * 1_000_000 / LEAST_RATE);
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(latest)));
                let until = (deadline.deadline() + earned).min(latest);
                deadline.as_mut().reset(until);
            }
            // All of it, or an end.
            Poll::Ready(_) => self.deadline = None,
            Poll::Pending => ready!(self.wait(context))?,
        }
        outcome
    }

    /// Waits for the other end; fails when it is too late.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let latest = Instant::now() + self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(latest)));
        if deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, bytes.len(), outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, wanted, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            // TLS says goodbye: that is written too.
            Poll::Pending => {
                ready!(self.wait(context))?;
                Poll::Pending
            }
            done @ Poll::Ready(_) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_cut_off() {
        let (here, _there) = duplex(1024);
        let mut here = Paced::new(here, WRITE_TIMEOUT);
        let begun = Instant::now();
        let error = here.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_TIMEOUT && begun.elapsed() < WRITE_TIMEOUT * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_too_slowly_is_cut_off_as_well() {
        let (here, mut there) = duplex(1024);
        let mut here = Paced::new(here, WRITE_TIMEOUT);
        let reader = async {
            let mut bytes = [0; 10];
            while there.read_exact(&mut bytes).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let much = vec![0; 64 * 1024];
        let error = tokio::select! {
            written = here.write_all(&much) => written.unwrap_err(),
            () = reader => unreachable!("it reads on"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_at_the_least_rate_gets_everything_and_idle_time_does_not_count() {
        let (here, mut there) = duplex(1024);
        let mut here = Paced::new(here, WRITE_TIMEOUT);
        let reader = async {
            let mut all = vec![0; 1024 * 1024];
            for slice in all.chunks_mut(16 * 1024) {
                there.read_exact(slice).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let writer = async {
            here.write_all(&vec![0; 512 * 1024]).await.unwrap();
            tokio::time::sleep(WRITE_TIMEOUT * 10).await;
            here.write_all(&vec![0; 512 * 1024]).await.unwrap();
        };
        tokio::join!(reader, writer);
    }
}
