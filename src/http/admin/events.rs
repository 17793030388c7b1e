//! What happens, as it happens: a stream of server-sent events, and the same by the page.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::rt::time::{Instant, Interval, interval_at, timeout};
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use chrono::{DateTime, Utc};
use futures_util::stream::poll_fn;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::domain::MerchantId;
use crate::domain::event::EventKind;
use crate::domain::staff::Permission;
use crate::error::Error;
use crate::events::{News, Subscription};
use crate::http::extract::bearer;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{ReadOrders, Staff, still_permitted};
use crate::http::view::name_of;
use crate::http::{blocking, read};
use crate::store::events::{self, Event};

/// Something that happened. `order_…` events name the order and its state then, `goods_changed` names the goods. `refund_settled` and
/// `alert_raised` name the order, if there is one, and have the refund's state and the alert's kind as `state`.
#[derive(Serialize, ToSchema)]
struct EventView {
    /// The merchant's events are numbered 1, 2, 3, without gaps.
    seq: i64,
    #[schema(schema_with = name_of::<EventKind>)]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    goods_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    happened_at: DateTime<Utc>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            seq: event.seq,
            kind: event.kind,
            order_id: event.order.map(|id| id.0),
            goods_id: event.goods.map(|id| id.0),
            state: event.state,
            happened_at: event.happened_at,
        }
    }
}

const PAGE_EVENTS_MAX: u16 = 500;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    /// The number up to which the caller knows everything; absent to begin now.
    after: Option<i64>,
    /// Events in a page; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u16>,
}

#[derive(Serialize, ToSchema)]
struct EventPage {
    items: Vec<EventView>,
    /// What to send as `after` the next time.
    next_after: i64,
    /// What came after `after` is not kept any more, or no event has had that number yet: load everything again, and go on from `next_after`.
    is_reset: bool,
}

/// What happened after a number, by the page: for those who poll.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(("m" = i64, Path, description = "The merchant"), EventQuery),
    responses((status = 200, body = EventPage)),
)]
#[get("/v1/admin/merchants/{m}/events/page")]
pub(in crate::http) async fn list_events(
    app: Data<App>,
    who: Staff<ReadOrders>,
    query: Query<EventQuery>,
) -> Result<HttpResponse, Error> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=PAGE_EVENTS_MAX).contains(&limit) {
        return Err(Error::MalformedQuery(format!("limit must be from 1 to {PAGE_EVENTS_MAX}")));
    }
    let (merchant, after) = (who.merchant, query.after);
    let kept = blocking(&app, move |app| app.events.current(merchant)).await?;
    let is_reset = after.is_some_and(|after| !kept.follows(after));
    let Some(after) = after.filter(|_| !is_reset) else {
        return Ok(HttpResponse::Ok().json(EventPage { items: Vec::new(), next_after: kept.to, is_reset }));
    };
    let found = read(&app, merchant, move |conn| Ok(events::after(conn, merchant, after, limit.into())?)).await?;
    let next_after = found.last().map_or(after, |event| event.seq);
    let items = found.into_iter().map(EventView::from).collect();
    Ok(HttpResponse::Ok().json(EventPage { items, next_after, is_reset }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct StreamQuery {
    /// As the header `Last-Event-ID`, which goes before it.
    last_event_id: Option<i64>,
}

/// What happens, as it happens: `text/event-stream`.
///
/// Each event has its number as `id`, its kind as `event` and itself as `data`. Send the last number as `Last-Event-ID` to be given
/// everything after it. Without one, the stream begins now, with an event `hello` whose `data` holds the current number. An event
/// `reset` says that what came after your number is not there: load everything again; the stream goes on from its `id`. Comments are
/// signs of life. The stream ends when the service stops, when the token is no longer good, and when it is not read.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(
        ("m" = i64, Path, description = "The merchant"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The last number that was received"),
        StreamQuery,
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`too_many_streams`, `unavailable`"),
    ),
)]
#[get("/v1/admin/merchants/{m}/events")]
pub(in crate::http) async fn stream_events(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<ReadOrders>,
    query: Query<StreamQuery>,
) -> Result<HttpResponse, Error> {
    let after = last_event_id(&req)?.or(query.last_event_id);
    let token = bearer(&req)?.to_owned();
    // First listen, then read: what happens in between comes twice, not never.
    let news = app.events.subscribe(who.merchant)?;
    let merchant = who.merchant;
    let kept = blocking(&app, move |app| app.events.current(merchant)).await?;
    let (at, begin) = match after {
        Some(after) if kept.follows(after) => (after, ": goes on\n\n".to_owned()),
        Some(_) => (kept.to, marker("reset", kept.to)),
        None => (kept.to, marker("hello", kept.to)),
    };
    // A page that is being sent and one that waits: what a reader lags behind further stays in the database.
    let (out, mut chunks) = mpsc::channel(1);
    let config = &app.config.events;
    let patience = Duration::from_millis(config.patience_ms);
    let alive = Duration::from_millis(config.keep_alive_ms);
    let stream = Stream { merchant, token, at, out: Out { chunks: out, patience }, app: app.clone() };
    actix_web::rt::spawn(stream.run(begin, news, interval_at(Instant::now() + alive, alive)));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // A proxy that collects an answer before it passes it on would keep the news to itself.
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(poll_fn(move |context| chunks.poll_recv(context).map(|chunk| chunk.map(Ok::<_, Infallible>)))))
}

/// The header's number; an empty one is what browsers send before they have received anything.
fn last_event_id(req: &HttpRequest) -> Result<Option<i64>, Error> {
    let Some(value) = req.headers().get("Last-Event-ID").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Error::MalformedQuery("Last-Event-ID must be a number".to_owned()))
}

fn marker(kind: &str, seq: i64) -> String {
    format!("retry: 2000\nid: {seq}\nevent: {kind}\ndata: {{\"seq\":{seq}}}\n\n")
}

/// Why a stream ends early. Its reader finds out by coming back.
struct Ended;

/// The way to the reader.
struct Out {
    chunks: mpsc::Sender<Bytes>,
    patience: Duration,
}

/// A stream that is open.
struct Stream {
    app: Data<App>,
    merchant: MerchantId,
    token: String,
    /// The last number that was sent.
    at: i64,
    out: Out,
}

impl Stream {
    async fn run(mut self, begin: String, news: Subscription, alive: Interval) {
        let gone = self.out.chunks.clone();
        // A reader who hangs up ends the wait for news, too.
        tokio::select! {
            _ = self.serve(begin, news, alive) => {}
            () = gone.closed() => {}
        }
    }

    async fn serve(&mut self, begin: String, mut news: Subscription, mut alive: Interval) -> Result<(), Ended> {
        self.send(begin).await?;
        self.catch_up().await?;
        loop {
            tokio::select! {
                news = news.next() => match news {
                    Some(news) => self.pass_on(news).await?,
                    None => return Ok(()),
                },
                _ = alive.tick() => {
                    self.check().await?;
                    self.send(": alive\n\n".to_owned()).await?;
                }
            }
        }
    }

    async fn pass_on(&mut self, news: News) -> Result<(), Ended> {
        match news {
            News::Events(events) => {
                let fresh: Vec<Event> = events.iter().filter(|event| event.seq > self.at).cloned().collect();
                match fresh.first() {
                    Some(first) if first.seq == self.at + 1 => self.send_events(fresh).await,
                    Some(_) => self.catch_up().await,
                    None => Ok(()),
                }
            }
            News::UpTo(last) if last == self.at => Ok(()),
            News::UpTo(_) | News::Behind => self.catch_up().await,
        }
    }

    /// Reads and sends what the reader lacks.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            let (merchant, at) = (self.merchant, self.at);
            let found = read(&self.app, merchant, move |conn| {
                let kept = events::kept(conn, merchant)?;
                Ok((kept, events::after(conn, merchant, at, PAGE_EVENTS_MAX.into())?))
            });
            // The reader comes back with its number, when the database does.
            let (kept, found) = found.await.map_err(|_| Ended)?;
            if !kept.follows(at) {
                self.at = kept.to;
                self.send(marker("reset", kept.to)).await?;
                continue;
            }
            if found.is_empty() {
                return Ok(());
            }
            self.send_events(found).await?;
        }
    }

    async fn send_events(&mut self, events: Vec<Event>) -> Result<(), Ended> {
        let mut text = String::with_capacity(events.len() * 240);
        for event in events {
            self.at = event.seq;
            let view = EventView::from(event);
            let data = serde_json::to_string(&view).expect("an event is plain data");
            // A String takes whatever is written.
            let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", view.seq, view.kind);
        }
        self.send(text).await
    }

    async fn send(&self, text: String) -> Result<(), Ended> {
        match timeout(self.out.patience, self.out.chunks.send(text.into())).await {
            Ok(sent) => sent.map_err(|_| Ended),
            Err(_) => {
                log::info!(merchant_id:% = self.merchant; "A stream of events is ended: nobody reads it");
                self.app.metrics.event_streams_dropped.inc();
                Err(Ended)
            }
        }
    }

    /// Whether the reader may still listen. Not knowing is no reason to send them away.
    async fn check(&self) -> Result<(), Ended> {
        match still_permitted(&self.app, self.merchant, &self.token, Permission::ReadOrders).await {
            Err(error) if error.status_and_code().0 < 500 => Err(Ended),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
