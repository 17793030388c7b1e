//! How many connections there may be, and how long one is put up with.
//!
//! actix bounds the time for the first head of a connection and for idling between requests. What it leaves open is bounded here: half a
//! head behind a whole request, an answer that nobody takes.
//!
//! Contract: a connection to which nothing could be written for `http.silence_seconds` is closed, whatever it is waiting for. A client that
//! is being served is written to in that time: it may idle between two requests for half of it at most, which leaves the other half for the
//! answer.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server};
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Instant, Sleep, sleep_until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config;

/// Between two requests, at most: more than proxies and clients keep a connection that they do not use (nginx and AWS's balancers: 60
/// seconds), so that it is they who close it. A request that meets the service closing it has failed, and nobody repeats an order for them.
const IDLE: Duration = Duration::from_secs(75);
/// For the head of a connection's first request.
const FIRST_HEAD: Duration = Duration::from_secs(10);

/// Descriptors for what is no connection of a client's: the databases, gateways, webhooks, files.
const OTHER_DESCRIPTORS: usize = 192;

/// Serves what `factory` makes, as actix's `HttpServer` does, on connections that are [`Patient`].
pub(super) fn serve<F, I, S, B>(
    factory: F,
    listener: TcpListener,
    http: &config::Http,
    workers: usize,
    others: usize,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let silence = Duration::from_secs(http.silence_seconds);
    let connections = connections(http.connections_max, others);
    let builder = ServerBuilder::default();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder
        .workers(workers)
        .max_concurrent_connections(connections.div_ceil(workers))
        .shutdown_timeout(http.shutdown_seconds)
        .disable_signals()
        .listen("http", listener, move || {
            let stopping = stopping.clone();
            let app = factory().into_factory().map_err(|error| error.into().error_response());
            let service = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KeepAlive::Timeout(IDLE.min(silence / 2)))
                .client_request_timeout(FIRST_HEAD)
                .client_disconnect_timeout(Duration::from_secs(1))
                .h1(map_config(app, |()| AppConfig::default()));
            fn_service(move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                ready(Ok((Patient::new(stream, silence), peer)))
            })
            .and_then(service)
        })?;
    Ok(server.run())
}

/// As many connections as are wanted, or as descriptors allow beside `others`. Those who come when all are taken wait to be accepted.
fn connections(wanted: usize, others: usize) -> usize {
    let allowed = descriptors().saturating_sub(others + OTHER_DESCRIPTORS).max(16);
    if allowed < wanted {
        log::warn!(
            "The limit of open files leaves room for {allowed} connections, not for http.connections_max = {wanted}"
        );
    }
    wanted.min(allowed)
}

/// How many descriptors this process may have open: what its limit may be raised to by itself. The lower one that it starts with is
/// for programs that call `select`.
fn descriptors() -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, hard)| {
        // macOS says that there is no limit, and grants no more than this.
        let wanted = [hard, hard.min(10_240)];
        let granted = wanted.into_iter().find(|limit| setrlimit(Resource::RLIMIT_NOFILE, *limit, hard).is_ok());
        granted.unwrap_or(soft)
    });
    raised.map_or(1_024, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// A stream that ends when nothing could be written to it for too long.
struct Patient<S> {
    stream: S,
    silence: Duration,
    written_at: Instant,
    /// When to look whether the silence has lasted too long. A write does not move it: it is set again only when it goes off, which on most
    /// connections it never does.
    alarm: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    fn new(stream: S, silence: Duration) -> Self {
        let now = Instant::now();
        Self { stream, silence, written_at: now, alarm: Box::pin(sleep_until(now + silence)) }
    }

    /// Goes on waiting, unless it has been too long.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let end = self.written_at + self.silence;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(end);
        }
        Poll::Pending
    }

    fn written(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            return self.wait(context);
        }
        self.written_at = Instant::now();
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() { self.wait(context) } else { read }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
