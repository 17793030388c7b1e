//! Two instances of the service on one database, and one provider. They reach it, and it reaches them, through a relay that can hold
//! what is said in the middle, and keep notices back.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use chrono::TimeDelta;
use diesel::PgConnection;
use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::clients::{Answer, Staff};
use crate::harness::{Setup, TestApp, words};

/// Units of each goods to begin with.
pub(crate) const STOCK: i64 = 1_000_000;

/// How long whoever is held in the middle waits at most, should the test forget them.
const HELD_FOR: Duration = Duration::from_secs(10);

/// For how long a connection is kept that nobody uses: less than its other end does.
const IDLE: Duration = Duration::from_secs(2);

/// On which side of the provider's deed a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The provider has not heard of it yet.
    Asking,
    /// The provider has done it, and the answer is on its way.
    Answering,
}

/// A call to the provider that stops in the middle, the first about its payment.
pub(crate) struct Hold {
    side: Side,
    reached: Semaphore,
    gate: Semaphore,
}

impl Hold {
    /// Waits until somebody is held.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Lets whoever is held, or would be, go on.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }

    async fn wait(&self, side: Side) {
        if side == self.side {
            self.reached.add_permits(1);
            let _ = tokio::time::timeout(HELD_FOR, self.gate.acquire()).await;
        }
    }
}

/// A notice as the provider sent it.
#[derive(Clone)]
pub(crate) struct Kept {
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Kept {
    /// Sends it to an instance.
    pub(crate) fn to(&self, app: &TestApp) -> reqwest::RequestBuilder {
        let request = app.request(Method::POST, &self.path).body(self.body.clone());
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

#[derive(Default)]
struct Lines {
    /// The provider's instance first; notices go to both in turn.
    targets: OnceLock<[String; 2]>,
    turn: std::sync::atomic::AtomicUsize,
    holds: Mutex<HashMap<String, Arc<Hold>>>,
    kept: Mutex<HashMap<String, VecDeque<Kept>>>,
}

/// Passes on what the instances and the provider say to each other.
pub(crate) struct Relay {
    pub(crate) url: String,
    lines: Arc<Lines>,
    server: Option<(ServerHandle, thread::JoinHandle<()>)>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lines: Arc<Lines> = Arc::default();
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::clone(&lines);
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let make = move || {
                    let client = reqwest::Client::builder().no_proxy().pool_idle_timeout(IDLE).build().unwrap();
                    App::new()
                        .app_data(Data::from(Arc::clone(&shared)))
                        .app_data(Data::new(client))
                        .default_service(web::to(pass_on))
                };
                let server = HttpServer::new(make)
                    .workers(1)
                    .keep_alive(IDLE * 60)
                    .disable_signals()
                    .listen(listener)
                    .unwrap()
                    .run();
                sender.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receiver.recv().unwrap();
        Self { url, lines, server: Some((handle, thread)) }
    }

    /// Holds the next call about a payment.
    pub(crate) fn hold(&self, number: &str, side: Side) -> Arc<Hold> {
        let hold = Arc::new(Hold { side, reached: Semaphore::new(0), gate: Semaphore::new(0) });
        self.lines.holds.lock().unwrap().insert(number.to_owned(), Arc::clone(&hold));
        hold
    }

    /// From now on the notices about a payment do not arrive.
    pub(crate) fn keep_notices(&self, number: &str) {
        self.lines.kept.lock().unwrap().entry(number.to_owned()).or_default();
    }

    /// The first notice about a payment that was kept back.
    pub(crate) async fn kept(&self, number: &str) -> Kept {
        for _ in 0..2_000 {
            let kept = self.lines.kept.lock().unwrap().get(number).and_then(|kept| kept.front().cloned());
            if let Some(kept) = kept {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no notice about {number} came");
    }

    /// Holds nothing any more.
    pub(crate) fn hold_nothing(&self) {
        self.lines.holds.lock().unwrap().clear();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.server.take() {
            drop(handle.stop(false));
            let _ = thread.join();
        }
    }
}

async fn pass_on(request: HttpRequest, body: Bytes, lines: Data<Lines>, client: Data<reqwest::Client>) -> HttpResponse {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let names = |number: &String| path.contains(number.as_str()) || memmem(&body, number.as_bytes());
    let headers = request.headers().iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()));
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let headers: Vec<(String, String)> = headers.collect();
    let targets = lines.targets.get().expect("the instances are up");
    let is_notice = path.starts_with("/v1/callbacks/");
    if is_notice {
        let mut kept = lines.kept.lock().unwrap();
        if let Some((_, kept)) = kept.iter_mut().find(|(number, _)| names(number)) {
            kept.push_back(Kept { path, headers, body });
            return HttpResponse::Ok().json(json!({}));
        }
    }
    let hold = {
        let mut holds = lines.holds.lock().unwrap();
        let number = holds.keys().find(|number| !is_notice && names(number)).cloned();
        number.and_then(|number| holds.remove(&number))
    };
    if let Some(hold) = &hold {
        hold.wait(Side::Asking).await;
    }
    let turn = if is_notice { lines.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 } else { 0 };
    let method = Method::from_bytes(request.method().as_str().as_bytes()).unwrap();
    let call = client.request(method, format!("{}{path}", targets[turn])).body(body);
    let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
    let Ok(response) = call.send().await else { return HttpResponse::BadGateway().finish() };
    let mut answer = HttpResponse::build(StatusCode::from_u16(response.status().as_u16()).unwrap());
    for (name, value) in response.headers() {
        if name.as_str().starts_with("sandbox-") || name == "content-type" {
            answer.insert_header((name.as_str(), value.to_str().unwrap()));
        }
    }
    let body = response.bytes().await.unwrap_or_default();
    if let Some(hold) = &hold {
        hold.wait(Side::Answering).await;
    }
    answer.body(body)
}

fn memmem(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What came in at the provider under a payment's number, and went back, in fen; by the provider's own numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) came_in: BTreeMap<String, i64>,
    pub(crate) went_back: BTreeMap<String, i64>,
}

impl Money {
    pub(crate) fn left(&self) -> i64 {
        self.came_in.values().sum::<i64>() - self.went_back.values().sum::<i64>()
    }
}

/// The two instances.
pub(crate) struct Tills {
    pub(crate) one: TestApp,
    pub(crate) two: TestApp,
    pub(crate) relay: Relay,
}

impl Tills {
    pub(crate) fn start(variables: &[(&'static str, &'static str)]) -> Self {
        let relay = Relay::start();
        let url: &'static str = relay.url.clone().leak();
        let own = [
            ("ROWLOCK_GATEWAYS_PUBLIC_URL", url),
            ("ROWLOCK_GATEWAYS_IN_FLIGHT_MAX", "256"),
            ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "20"),
        ];
        let setup = || Setup { variables: own.iter().chain(variables).copied().collect(), ..Setup::default() };
        let one = TestApp::with(setup());
        let two = one.beside(setup());
        relay.lines.targets.set([one.address.clone(), two.address.clone()]).unwrap();
        one.execute(&format!(
            "UPDATE goods SET stock = {STOCK} WHERE merchant_id = 1;
             UPDATE stock_moves SET delta = {STOCK} WHERE merchant_id = 1;
             UPDATE merchants SET accept_timeout = 'accept' WHERE id = 1"
        ));
        Self { one, two, relay }
    }

    /// Lets time pass, for all.
    pub(crate) fn advance(&self, time: TimeDelta) {
        self.one.clock.advance(time);
        self.two.clock.advance(time);
    }

    pub(crate) async fn switch(&self, number: Option<&str>, switches: &serde_json::Value) {
        let query = number.map(|number| format!("?number={number}")).unwrap_or_default();
        let request = self.one.request(Method::PUT, &format!("/sandbox/v1/switches{query}")).json(switches);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, StatusCode::OK.as_u16(), "{}", answer.text);
    }

    /// Presses a button of a payment.
    pub(crate) async fn press(&self, number: &str, button: &str) -> Answer {
        Answer::of(self.one.request(Method::POST, &format!("/sandbox/v1/payments/{number}/{button}"))).await
    }

    /// Runs the timers of both, until nothing is due or on its way any more: what the provider got stuck with is settled there, and what
    /// it gave up on is put in again by the staff. Switches must be off by then. What does not come to rest is the error.
    pub(crate) async fn rest(&self, manager: &Staff<'_>) -> Result<(), String> {
        self.relay.hold_nothing();
        let unrest = "SELECT 'payment ' || state AS value FROM payments WHERE state IN ('pending', 'closing') OR check_at IS NOT NULL
            UNION ALL SELECT 'refund ' || state FROM refunds WHERE state <> 'succeeded'
            UNION ALL SELECT 'notice' FROM gateway_notices WHERE outcome = 'kept'
            UNION ALL SELECT 'order ' || state FROM orders WHERE state IN ('pending_payment', 'pending_accept')";
        let mut conn = self.one.conn();
        let (mut unrested, mut still) = (Vec::new(), 0);
        for _ in 0..60 {
            self.advance(TimeDelta::minutes(4));
            tokio::join!(run_timers(&self.one), run_timers(&self.two));
            let stuck =
                "SELECT replace(id::text, '-', '') || CASE WHEN round > 1 THEN '-' || round ELSE '' END || ' ' || id AS value
                 FROM refunds WHERE state IN ('abnormal', 'failed')";
            for refund in words(&mut conn, stuck) {
                let (number, id) = refund.split_once(' ').unwrap();
                self.settle_stuck(number).await;
                manager.post(&format!("/refunds/{id}/retry"), &json!({})).await;
            }
            unrested = words(&mut conn, unrest);
            // A notice may be on its way that was delayed, or not taken the first time.
            tokio::time::sleep(Duration::from_millis(30)).await;
            still = if unrested.is_empty() { still + 1 } else { 0 };
            if still == 3 {
                return Ok(());
            }
        }
        Err(format!("there is no rest: {unrested:?}"))
    }

    /// Somebody at the provider sends a refund on that is stuck there; any other is left alone.
    async fn settle_stuck(&self, number: &str) {
        Answer::of(self.one.request(Method::POST, &format!("/sandbox/v1/refunds/{number}/succeed"))).await;
    }

    /// What the provider knows of a payment.
    pub(crate) async fn at_provider(&self, number: &str) -> Money {
        let page = self.one.get(&format!("/sandbox/pay/{number}")).await;
        let mut money = Money::default();
        if page.status == StatusCode::NOT_FOUND.as_u16() {
            return money;
        }
        for item in page.text.split("<li>").skip(1) {
            let item = item.split("</small>").next().unwrap();
            let (sum, rest) = item.split_once(" <small>").unwrap();
            let (id, state) = rest.split_once(" · ").unwrap();
            let amount: i64 = sum.rsplit(' ').next().unwrap().replace('.', "").parse().unwrap();
            if !sum.starts_with('−') {
                money.came_in.insert(id.to_owned(), amount);
            } else if state.ends_with(" refunded") {
                money.went_back.insert(id.to_owned(), amount);
            }
        }
        money
    }

    /// What our books know of an order's payments.
    pub(crate) fn in_books(conn: &mut PgConnection, order: &str) -> Money {
        let mut sums = |sql: String| {
            let rows = words(conn, &sql);
            let sum = |row: &String| {
                let (id, amount) = row.split_once(' ').unwrap();
                (id.to_owned(), amount.parse().unwrap())
            };
            rows.iter().map(sum).collect()
        };
        Money {
            came_in: sums(format!(
                "SELECT transaction || ' ' || (amount * 100)::bigint AS value FROM payments
                 WHERE order_id = '{order}' AND transaction IS NOT NULL AND gateway <> 'cash'"
            )),
            went_back: sums(format!(
                "SELECT replace(r.id::text, '-', '') || CASE WHEN r.round > 1 THEN '-' || r.round ELSE '' END
                     || ' ' || (r.amount * 100)::bigint AS value
                 FROM refunds r JOIN payments p ON p.merchant_id = r.merchant_id AND p.id = r.payment_id
                 WHERE r.order_id = '{order}' AND r.state = 'succeeded' AND p.gateway <> 'cash'"
            )),
        }
    }

    /// The same, as the provider has it, under all numbers that the order was ever to be paid under.
    pub(crate) async fn at_provider_for(&self, conn: &mut PgConnection, order: &str) -> Money {
        let numbers = format!(
            "SELECT replace(id::text, '-', '') AS value FROM payments WHERE order_id = '{order}' AND attempt_id IS NULL"
        );
        let mut all = Money::default();
        for number in words(conn, &numbers) {
            let Money { came_in, went_back } = self.at_provider(&number).await;
            all.came_in.extend(came_in);
            all.went_back.extend(went_back);
        }
        all
    }
}

/// Does all that is due, where it may block, and returns how much that was.
pub(crate) async fn run_timers(app: &TestApp) -> usize {
    let app = app.app.clone();
    actix_web::rt::task::spawn_blocking(move || app.jobs.run(app.clock.now())).await.unwrap()
}
