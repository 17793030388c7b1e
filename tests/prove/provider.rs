//! The provider of payments, which no fault of ours touches, and the way between it and the instances: notices come more often than they
//! were sent, at both instances at once, and again much later.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rowlock::clock::Clock;
use rowlock::sandbox::Sandbox;
use serde::Deserialize;

/// Notices that are kept to be sent again.
const KEPT: usize = 500;
/// Shorter than the server keeps a connection that nobody uses: none is used that it is just closing.
const IDLE: Duration = Duration::from_secs(2);

/// What came in at the provider under a payment's number, and went back, in fen; by the provider's own numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) came_in: BTreeMap<String, i64>,
    pub(crate) went_back: BTreeMap<String, i64>,
}

impl Money {
    pub(crate) fn left(&self) -> i64 {
        self.came_in.values().sum::<i64>() - self.went_back.values().sum::<i64>()
    }
}

/// A notice as the provider sent it.
#[derive(Clone)]
struct Notice {
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// What is known about the way to the instances.
struct Lines {
    targets: [String; 2],
    turn: AtomicUsize,
    random: Mutex<StdRng>,
    kept: Mutex<VecDeque<Notice>>,
    /// Notices that reached an instance.
    sent: AtomicUsize,
    /// From now on notices are passed on as they come.
    is_calm: AtomicBool,
}

/// The provider, in a thread of its own.
pub(crate) struct Provider {
    pub(crate) url: String,
    journal: PathBuf,
    lines: Arc<Lines>,
    server: Option<(ServerHandle, thread::JoinHandle<()>)>,
}

impl Provider {
    pub(crate) fn start(
        targets: [String; 2],
        secret: &str,
        timeout_ms: u64,
        dir: &Path,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let journal = dir.join("provider.jsonl");
        let sandbox = Sandbox::start(url.clone(), secret.as_bytes(), timeout_ms, Some(&journal), clock).unwrap();
        let sandbox = Arc::new(sandbox);
        let lines = Arc::new(Lines {
            targets,
            turn: AtomicUsize::new(0),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            kept: Mutex::default(),
            sent: AtomicUsize::new(0),
            is_calm: AtomicBool::new(false),
        });
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::clone(&lines);
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let make = move || {
                    let client = reqwest::Client::builder().no_proxy().pool_idle_timeout(IDLE);
                    let client = client.timeout(Duration::from_secs(10)).build().unwrap();
                    App::new()
                        .app_data(Data::from(Arc::clone(&shared)))
                        .app_data(Data::new(client))
                        .configure(|config| sandbox.mount(config))
                        .default_service(web::to(pass_on))
                };
                let server = HttpServer::new(make).workers(1).disable_signals().listen(listener).unwrap().run();
                sender.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receiver.recv().unwrap();
        Self { url, journal, lines, server: Some((handle, thread)) }
    }

    /// Notices that reached an instance since this was last asked.
    pub(crate) fn notices(&self) -> usize {
        self.lines.sent.swap(0, Ordering::Relaxed)
    }

    /// From now on notices come once each.
    pub(crate) fn calm(&self) {
        self.lines.is_calm.store(true, Ordering::Relaxed);
    }

    /// What it has, by the numbers under which customers were to pay.
    pub(crate) fn money(&self) -> HashMap<String, Money> {
        let text = std::fs::read_to_string(&self.journal).unwrap();
        let mut all = HashMap::new();
        // The last line of a number counts.
        for line in text.lines() {
            let Payment { number, transactions, refunds } = serde_json::from_str(line).unwrap();
            let came_in = transactions.into_iter().map(|paid| (paid.id, fen(&paid.amount)));
            let went_back = refunds.into_iter().filter(|refund| refund.state == "succeeded");
            let went_back = went_back.map(|refund| (refund.number, fen(&refund.amount)));
            all.insert(number, Money { came_in: came_in.collect(), went_back: went_back.collect() });
        }
        all
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.server.take() {
            drop(handle.stop(false));
            let _ = thread.join();
        }
    }
}

/// A line of the provider's journal.
#[derive(Deserialize)]
struct Payment {
    number: String,
    transactions: Vec<Transaction>,
    refunds: Vec<Refund>,
}

#[derive(Deserialize)]
struct Transaction {
    id: String,
    amount: String,
}

#[derive(Deserialize)]
struct Refund {
    number: String,
    amount: String,
    state: String,
}

/// An amount in yuan, with two places, in fen.
pub(crate) fn fen(amount: &str) -> i64 {
    amount.replace('.', "").parse().unwrap()
}

/// A notice on its way: most go to one instance, some to both and several times at once, some again after others.
async fn pass_on(request: HttpRequest, body: Bytes, lines: Data<Lines>, client: Data<reqwest::Client>) -> HttpResponse {
    let headers = request.headers().iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()));
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let notice = Notice { path: request.uri().to_string(), headers: headers.collect(), body };
    let first = lines.turn.fetch_add(1, Ordering::Relaxed);
    if !lines.is_calm.load(Ordering::Relaxed) {
        let (copies, again) = {
            let mut random = lines.random.lock().unwrap();
            let copies = if random.random_bool(0.15) { random.random_range(2..=8) } else { 0 };
            let mut kept = lines.kept.lock().unwrap();
            kept.push_back(notice.clone());
            kept.truncate(KEPT);
            let at = random.random_range(0..kept.len());
            (copies, random.random_bool(0.2).then(|| kept[at].clone()))
        };
        let storm =
            (0..copies).map(|copy| (notice.clone(), first + copy)).chain(again.map(|notice| (notice, first + 1)));
        for (notice, target) in storm {
            let (lines, client) = (lines.clone(), client.clone());
            actix_web::rt::spawn(async move { deliver(&notice, target, &lines, &client).await });
        }
    }
    deliver(&notice, first, &lines, &client).await
}

async fn deliver(notice: &Notice, target: usize, lines: &Lines, client: &reqwest::Client) -> HttpResponse {
    let url = format!("{}{}", lines.targets[target % 2], notice.path);
    let call = notice.headers.iter().fold(client.post(url), |call, (name, value)| call.header(name, value));
    let Ok(response) = call.body(notice.body.clone()).send().await else { return HttpResponse::BadGateway().finish() };
    lines.sent.fetch_add(1, Ordering::Relaxed);
    let mut answer = HttpResponse::build(StatusCode::from_u16(response.status().as_u16()).unwrap());
    answer.body(response.bytes().await.unwrap_or_default())
}
