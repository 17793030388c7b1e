//! What happens reaches merchants' own machines: signed, in order, until it is taken or parked, and never by way of our own network.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::rt::task::spawn_blocking;
use aws_lc_rs::digest::{SHA256, digest};
use chrono::TimeDelta;
use rowlock::domain::{GoodsId, MerchantId};
use rowlock::error::Error;
use rowlock::store::webhooks::Attempt;
use rowlock::store::{events, outbox, webhooks};
use serde_json::{Value, json};

use crate::harness::{Setup, TestApp, noon, until, words};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const PRIVATE: (&str, &str) = ("ROWLOCK_WEBHOOKS_ALLOW_PRIVATE", "true");
const QUICK: (&str, &str) = ("ROWLOCK_WEBHOOKS_TIMEOUT_MS", "300");

/// How the machine answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// Not at all, as long as anybody waits.
    Hang,
    Redirect(String),
    /// With success, half a second later.
    Late,
    /// With success, and a body without end.
    Endless,
}

/// What arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}: {:?}", self.headers)).1
    }

    fn seq(&self) -> i64 {
        serde_json::from_str::<Value>(&self.body).unwrap()["data"]["seq"].as_i64().unwrap()
    }
}

/// A merchant's machine: a small HTTP server that answers as it is told, and with 204 when it was told no more.
pub(crate) struct Machine {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Machine {
    pub(crate) fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (log, mut replies) = (Arc::clone(&received), VecDeque::from(replies.to_vec()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request);
                let reply = replies.pop_front().unwrap_or(Reply::Status(204));
                std::thread::spawn(move || answer(&mut stream, &reply));
            }
        });
        Self { url, received }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn numbers(&self) -> Vec<i64> {
        self.received().iter().map(Received::seq).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Received> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    assert_eq!(line, "POST /hook HTTP/1.1\r\n");
    let mut headers = Vec::new();
    loop {
        line.clear();
        lines.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut request = Received { headers, body: String::new() };
    let mut body = vec![0; request.header("content-length").parse().unwrap()];
    lines.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

fn answer(stream: &mut TcpStream, reply: &Reply) {
    let _ = match reply {
        Reply::Status(status) => write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
        Reply::Late => {
            std::thread::sleep(Duration::from_millis(500));
            write!(stream, "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::Hang => stream.read(&mut [0]).map(drop),
        Reply::Redirect(to) => {
            write!(stream, "HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::Endless => {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            Ok(())
        }
    };
}

pub(crate) fn start(variables: &[(&'static str, &'static str)]) -> TestApp {
    TestApp::with(Setup { variables: variables.to_vec(), ..Setup::default() })
}

pub(crate) fn hook(app: &TestApp, merchant: i64, url: &str) {
    app.execute(&format!(
        "UPDATE merchants SET webhook_url = '{url}', webhook_secret = '{SECRET}' WHERE id = {merchant}"
    ));
}

/// Has something happen, that many times.
pub(crate) fn tell(app: &TestApp, merchant: i64, times: usize) {
    let goods = if merchant == 1 { GoodsId(1) } else { GoodsId(101) };
    let told = app.app.store.write(MerchantId(merchant), |tx| {
        (0..times).try_for_each(|_| outbox::tell_of_goods(tx, goods, noon()))?;
        Ok::<_, Error>(())
    });
    told.unwrap();
}

/// One round; how many attempts it made.
pub(crate) async fn deliver(app: &TestApp) -> usize {
    let served = app.app.clone();
    spawn_blocking(move || served.webhooks.deliver_due().unwrap()).await.unwrap()
}

/// How the deliveries stand: number, state, attempts, status, error.
pub(crate) fn log(app: &TestApp) -> Vec<String> {
    words(
        &mut app.conn(),
        "SELECT concat_ws(' ', seq, state, attempts, last_status, last_error) AS value FROM webhook_deliveries ORDER BY merchant_id, seq",
    )
}

/// The signature that a message must have, by the scheme's own description: HMAC-SHA256 from its definition, base64 by PostgreSQL.
fn signature(app: &TestApp, id: &str, timestamp: &str, body: &str) -> String {
    signature_by(app, SECRET, id, timestamp, body)
}

fn signature_by(app: &TestApp, secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let hex = |sql: &str| words(&mut app.conn(), sql).remove(0);
    let key =
        hex(&format!("SELECT encode(decode('{}', 'base64'), 'hex') AS value", secret.trim_start_matches("whsec_")));
    let mut block: Vec<u8> =
        (0..key.len() / 2).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap()).collect();
    block.resize(64, 0);
    let padded = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    let message = format!("{id}.{timestamp}.{body}");
    let inner = digest(&SHA256, &[padded(0x36), message.into_bytes()].concat());
    let outer = digest(&SHA256, &[padded(0x5c), inner.as_ref().to_vec()].concat());
    let outer: String = outer.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1,{}", hex(&format!("SELECT encode(decode('{outer}', 'hex'), 'base64') AS value")))
}

#[actix_web::test]
async fn deliveries_are_signed_and_in_order() {
    let app = start(&[PRIVATE]);
    let machine = Machine::start(&[]);
    tell(&app, 1, 1);
    assert_eq!(deliver(&app).await, 0, "nobody has a webhook");
    assert_eq!(app.count("events"), 0, "so nothing is published");
    hook(&app, 1, &machine.url);
    let alice = app.customer("alice").await;
    let placed = alice.place("k", &crate::harness::order(&[(1, 1)])).await.json();
    tell(&app, 1, 3);
    tell(&app, 2, 1);
    assert_eq!(deliver(&app).await, 5);
    assert_eq!(deliver(&app).await, 0);
    let received = machine.received();
    assert_eq!(machine.numbers(), [1, 2, 3, 4, 5]);
    for message in &received {
        let (id, timestamp) = (message.header("webhook-id"), message.header("webhook-timestamp"));
        assert_eq!(id, format!("evt_1_{}", message.seq()));
        assert_eq!(timestamp, noon().timestamp().to_string());
        assert_eq!(message.header("webhook-signature"), signature(&app, id, timestamp, &message.body));
        assert_eq!(message.header("content-type"), "application/json");
    }
    let second: Value = serde_json::from_str(&received[1].body).unwrap();
    let data =
        json!({ "merchant_id": 1, "seq": 2, "order_id": placed["id"], "goods_id": null, "state": "pending_payment" });
    assert_eq!(second, json!({ "type": "order_placed", "timestamp": "2026-11-21T04:00:00Z", "data": data }));
    assert_eq!(log(&app)[0], "1 delivered 1 204");
    assert_eq!(app.metric("rowlock_webhook_attempts_total{code=\"delivered\"}"), 5.0);
}

/// From the settings to a signature that the merchant can verify with the secret they were shown.
#[actix_web::test]
async fn the_secret_that_is_shown_is_the_one_that_signs() {
    let app = start(&[PRIVATE]);
    let (owner, machine) = (app.staff("owner").await, Machine::start(&[]));
    let set = owner.patch("/settings", &json!({ "webhook_url": machine.url })).await.json();
    let secret = set["webhook_secret"].as_str().unwrap();
    tell(&app, 1, 1);
    assert_eq!(deliver(&app).await, 1, "{:?}", log(&app));
    let message = machine.received().remove(0);
    let (id, timestamp) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    assert_eq!(message.header("webhook-signature"), signature_by(&app, secret, id, timestamp, &message.body));
}

#[actix_web::test]
async fn failures_are_tried_again_and_hold_up_what_follows() {
    let app = start(&[PRIVATE, QUICK]);
    let machine = Machine::start(&[Reply::Status(500), Reply::Hang]);
    hook(&app, 1, &machine.url);
    tell(&app, 1, 2);
    assert_eq!((deliver(&app).await, deliver(&app).await), (1, 0));
    assert_eq!(log(&app), ["1 pending 1 500 answered 500", "2 pending 0"]);
    app.clock.advance(TimeDelta::milliseconds(4_999));
    assert_eq!(deliver(&app).await, 0, "it waits");
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(deliver(&app).await, 1);
    assert_eq!(log(&app)[0], "1 pending 2 no answer in time");
    app.clock.advance(TimeDelta::milliseconds(9_999));
    assert_eq!(deliver(&app).await, 0, "it waits twice as long");
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(deliver(&app).await, 2);
    assert_eq!(machine.numbers(), [1, 1, 1, 2]);
    assert_eq!(log(&app), ["1 delivered 3 204", "2 delivered 1 204"]);
    let ids: Vec<String> = machine.received().iter().map(|message| message.header("webhook-id").to_owned()).collect();
    assert_eq!(ids[0], ids[2], "the same message each time");
}

#[actix_web::test]
async fn what_fails_for_good_is_parked_until_somebody_puts_it_in_again() {
    let app = start(&[PRIVATE, ("ROWLOCK_WEBHOOKS_ATTEMPTS_MAX", "2")]);
    let machine = Machine::start(&[Reply::Status(400), Reply::Status(404), Reply::Status(410)]);
    hook(&app, 1, &machine.url);
    tell(&app, 1, 3);
    deliver(&app).await;
    app.clock.advance(TimeDelta::seconds(5));
    deliver(&app).await;
    // A delivery that was parked lets the next one go, in another round.
    assert_eq!(log(&app), ["1 parked 2 404 answered 404", "2 pending 0", "3 pending 0"]);
    deliver(&app).await;
    assert_eq!(log(&app)[1], "2 parked 1 410 answered 410", "gone is gone");
    deliver(&app).await;
    assert_eq!(log(&app)[2], "3 delivered 1 204");
    assert_eq!(app.metric("rowlock_webhook_attempts_total{code=\"parked\"}"), 2.0);

    let manager = app.staff("manager").await;
    let page = manager.get("/webhook-deliveries?state=parked&limit=1").await.json();
    let item = &page["items"][0];
    assert_eq!(
        (&item["seq"], &item["last_error"], &item["kind"]),
        (&json!(2), &json!("answered 410"), &json!("goods_changed"))
    );
    assert_eq!((&item["due_at"], &page["next_cursor"]), (&Value::Null, &json!(2)));
    let rest = manager.get("/webhook-deliveries?state=parked&limit=1&cursor=2").await.json();
    assert_eq!((&rest["items"][0]["seq"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    assert_eq!(manager.get("/webhook-deliveries").await.json()["items"].as_array().unwrap().len(), 3);
    for bad in ["?state=lost", "?limit=0", "?limit=101", "?cursor=x"] {
        let refused = manager.get(&format!("/webhook-deliveries{bad}")).await;
        assert_eq!(refused.refusal(), (400, "malformed_query".into()), "{bad}");
    }
    let retry = async |seq: i64| manager.post(&format!("/webhook-deliveries/{seq}/retry"), &json!({})).await;
    let retried = retry(1).await;
    assert_eq!((retried.status.as_u16(), retried.json()), (200, json!({ "seq": 1, "state": "pending" })));
    assert_eq!(retry(1).await.status, 200, "one that waits is tried at once");
    assert_eq!(retry(4).await.refusal(), (404, "not_found".into()));
    assert_eq!(deliver(&app).await, 1);
    assert_eq!(retry(1).await.refusal(), (409, "already_delivered".into()));
    assert_eq!((log(&app)[0].as_str(), machine.numbers()), ("1 delivered 1 204", vec![1, 1, 2, 3, 1]));
    assert_eq!(
        words(&mut app.conn(), "SELECT subject AS value FROM staff_actions"),
        ["webhook delivery 1", "webhook delivery 1"]
    );

    let cashier = app.staff("cashier").await;
    assert_eq!(cashier.get("/webhook-deliveries").await.refusal(), (403, "forbidden".into()));
    let refused = cashier.post("/webhook-deliveries/2/retry", &json!({})).await;
    assert_eq!(refused.refusal(), (403, "forbidden".into()));
    let stranger = app.staff_of(2, "owner").await;
    assert_eq!(stranger.get("/webhook-deliveries").await.json()["items"], json!([]));
    assert_eq!(stranger.post("/webhook-deliveries/2/retry", &json!({})).await.refusal(), (404, "not_found".into()));
}

#[actix_web::test]
async fn two_instances_share_the_work() {
    let app = start(&[PRIVATE]);
    let other = app.beside(Setup { variables: vec![PRIVATE], ..Setup::default() });
    let machine = Machine::start(&[]);
    hook(&app, 1, &machine.url);
    let mut attempts = 0;
    for _ in 0..20 {
        tell(&app, 1, 5);
        let both = tokio::join!(deliver(&app), deliver(&other));
        attempts += both.0 + both.1;
    }
    loop {
        match deliver(&app).await {
            0 => break,
            made => attempts += made,
        }
    }
    assert_eq!(machine.numbers(), (1..=100).collect::<Vec<_>>(), "each once, and in order");
    assert_eq!(attempts, 100);
}

/// An instance that dies with a delivery in hand: another has it when the claim has run out, and the first cannot settle it any more.
#[actix_web::test]
async fn a_claim_runs_out() {
    let app = start(&[PRIVATE]);
    let machine = Machine::start(&[]);
    hook(&app, 1, &machine.url);
    tell(&app, 1, 2);
    let store = &app.app.store;
    let now = app.clock.now();
    store.write(MerchantId(1), |tx| Ok::<_, Error>(events::publish(tx, 10, now)?)).unwrap();
    let claim = |now| {
        let lease = TimeDelta::seconds(30);
        store.write(MerchantId(1), |tx| Ok::<_, Error>(webhooks::claim(tx, now, lease)?)).unwrap()
    };
    let first = claim(now).unwrap();
    assert!(claim(now).is_none(), "neither this one nor the one behind it");
    assert_eq!(deliver(&app).await, 0);
    app.clock.advance(TimeDelta::seconds(30));
    assert_eq!(deliver(&app).await, 2);
    let late = Attempt::Parked { status: None, error: "late".to_owned() };
    let is_ours = store.write(MerchantId(1), |tx| Ok::<_, Error>(webhooks::settle(tx, &first, &late, now)?)).unwrap();
    assert!(!is_ours);
    assert_eq!(log(&app), ["1 delivered 2 204", "2 delivered 1 204"]);
}

#[actix_web::test]
async fn our_own_network_is_not_called() {
    let app = start(&[]);
    let machine = Machine::start(&[]);
    let port = machine.url.trim_end_matches("/hook").rsplit(':').next().unwrap().to_owned();
    let private = "not sent: the address is not public";
    let hosts =
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0", "LOCALHOST."];
    let mut cases: Vec<(String, &str)> = hosts.map(|host| (format!("http://{host}:{port}/hook"), private)).to_vec();
    cases.push((format!("https://localhost:{port}/hook"), private));
    cases.push((format!("http://user:pass@127.0.0.1:{port}/hook"), private));
    cases.push(("ftp://example.com/".to_owned(), "not sent: the URL is neither http nor https"));
    cases.push(("hook".to_owned(), "not sent: the URL is malformed"));
    for (url, expected) in cases {
        app.execute("DELETE FROM webhook_deliveries");
        hook(&app, 1, &url);
        tell(&app, 1, 1);
        assert_eq!(deliver(&app).await, 1);
        let line = log(&app).remove(0);
        // A name that the machine does not know is not called either.
        let unknown = url.contains("LOCALHOST.") && line.ends_with("cannot connect");
        assert!(line.ends_with(expected) || unknown, "{url}: {line}");
    }
    assert_eq!(machine.received().len(), 0);
    app.execute("DELETE FROM webhook_deliveries");
    hook(&app, 1, &machine.url);
    app.execute("UPDATE merchants SET webhook_secret = 'secret' WHERE id = 1");
    tell(&app, 1, 1);
    let open = app.beside(Setup { variables: vec![PRIVATE], ..Setup::default() });
    assert_eq!(deliver(&open).await, 1);
    assert!(log(&app)[0].ends_with("not sent: the secret is not whsec_ and base64"), "{:?}", log(&app));
    assert_eq!(machine.received().len(), 0);
}

#[actix_web::test]
async fn redirects_are_not_followed_and_bodies_not_read() {
    let app = start(&[PRIVATE]);
    let elsewhere = Machine::start(&[]);
    let machine = Machine::start(&[Reply::Redirect(elsewhere.url.clone()), Reply::Endless]);
    hook(&app, 1, &machine.url);
    tell(&app, 1, 1);
    assert_eq!(deliver(&app).await, 1);
    assert_eq!(log(&app), ["1 pending 1 307 answered 307"]);
    app.clock.advance(TimeDelta::seconds(5));
    let begun = Instant::now();
    assert_eq!(deliver(&app).await, 1);
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    assert_eq!((log(&app)[0].as_str(), elsewhere.received().len()), ("1 delivered 2 200", 0));
}

/// As it is configured for real: nobody calls.
#[actix_web::test]
async fn it_happens_by_itself() {
    let app = start(&[PRIVATE, ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "50")]);
    let machine = Machine::start(&[]);
    hook(&app, 1, &machine.url);
    tell(&app, 1, 30);
    until(|| log(&app).iter().filter(|line| line.contains("delivered")).count() == 30).await;
    assert_eq!(machine.numbers(), (1..=30).collect::<Vec<_>>());
}
