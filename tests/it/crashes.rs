//! PostgreSQL and the service are killed under load and start again: what was answered stands, what was not is found out by its key.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use rowlock::embedded_pg::{Cluster, Options};
use serde_json::Value;

use crate::clients::Answer;
use crate::command::{Folder, Service, postmaster, run};
use crate::harness::{connect, number, order};

const CLIENTS: usize = 24;
const KEYS: usize = 20;

/// What the clients know.
pub(crate) struct Clients {
    http: reqwest::Client,
    token: String,
    pub(crate) url: RefCell<String>,
    /// The orders that were answered, by key.
    pub(crate) placed: RefCell<BTreeMap<String, String>>,
    /// Requests that were answered 503, or not at all.
    pub(crate) unknown: Cell<usize>,
}

impl Clients {
    pub(crate) async fn of(service: &Service) -> Self {
        Self {
            http: reqwest::Client::new(),
            token: service.token().await,
            url: RefCell::new(service.url.clone()),
            placed: RefCell::default(),
            unknown: Cell::new(0),
        }
    }

    /// Sends an order until it is answered.
    pub(crate) async fn place(&self, key: &str, body: &Value) -> Answer {
        let begun = Instant::now();
        loop {
            let request = self.http.post(format!("{}/orders", self.url.borrow())).bearer_auth(&self.token);
            if let Ok(response) = request.header("Idempotency-Key", key).json(body).send().await {
                let (status, headers) = (response.status(), response.headers().clone());
                // The answer may break off, too.
                match response.text().await {
                    Ok(text) if status.is_success() => return Answer { status, headers, text },
                    Ok(text) => {
                        let answer = Answer { status, headers, text };
                        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
                        assert!(
                            ["unavailable", "outcome_unknown"].contains(&answer.code().as_str()),
                            "{}",
                            answer.text
                        );
                        assert_eq!(answer.headers["retry-after"], "1");
                    }
                    Err(_) => {}
                }
            }
            self.unknown.set(self.unknown.get() + 1);
            assert!(begun.elapsed() < Duration::from_secs(60), "{key} is never answered");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn answered(&self) -> usize {
        self.placed.borrow().len()
    }

    pub(crate) async fn until_answered(&self, count: usize) {
        let begun = Instant::now();
        while self.answered() < count {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} orders are answered", self.answered());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Every client wants one unit of what everybody wants, and one or two of its own.
fn wanted(client: usize, key: usize) -> (String, Value) {
    let own = 2 + (client % 10) as i64;
    (format!("client-{client}-key-{key}"), order(&[(own, 1 + key as i64 % 2), (1, 1)]))
}

#[actix_web::test]
async fn what_was_answered_outlives_kill_9_under_load() {
    let folder = Folder::new();
    assert!(run(&folder.0, &["seed", "--goods", "20"], &[]).status.success());
    let variables =
        [("ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND", "100000"), ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "100000")];
    let mut service = Service::start(&folder.0, &variables);
    let clients = Clients::of(&service).await;
    let data_dir = folder.0.join("data");
    let database = Cluster::url_in(&Options { data_dir, user: "postgres".into(), ..Options::default() }).unwrap();

    let load = join_all((0..CLIENTS).map(async |client| {
        for key in 0..KEYS {
            let (key, body) = wanted(client, key);
            let answer = clients.place(&key, &body).await;
            clients.placed.borrow_mut().insert(key, answer.text);
        }
    }));
    let kills = async {
        let kill_9 = |pid: i64| kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
        let server = || postmaster(&folder.0).unwrap().into();
        // One process of PostgreSQL, which then ends all others by itself and recovers.
        clients.until_answered(60).await;
        let lane = "SELECT max(pid)::bigint AS value FROM pg_stat_activity WHERE application_name = 'rowlock'";
        kill_9(number(&mut connect(&database), lane));
        // PostgreSQL as a whole: the service starts it again.
        clients.until_answered(160).await;
        kill_9(server());
        // The service; then both.
        for (answered, is_both) in [(260, false), (360, true)] {
            clients.until_answered(answered).await;
            if is_both {
                kill_9(server());
            }
            service.signal(Signal::SIGKILL);
            service.wait();
            service = Service::start(&folder.0, &variables);
            *clients.url.borrow_mut() = service.url.clone();
        }
    };
    tokio::join!(load, kills);
    assert!(clients.unknown.get() > 0, "the kills came in the middle of it");

    let keys = (0..CLIENTS).flat_map(|client| (0..KEYS).map(move |key| wanted(client, key)));
    for (key, body) in keys {
        let repeated = clients.place(&key, &body).await;
        assert_eq!(repeated.status, StatusCode::OK, "{key}");
        assert_eq!(repeated.text, clients.placed.borrow()[&key], "{key}");
    }
    let mut conn = connect(&database);
    assert_eq!(number(&mut conn, "SELECT count(*) AS value FROM orders"), (CLIENTS * KEYS) as i64);
    let sold = "SELECT 1000000 - stock::bigint AS value FROM goods WHERE id = 1";
    assert_eq!(number(&mut conn, sold), (CLIENTS * KEYS) as i64);
    drop(conn);
    let metrics = service.url.replace("/v1/merchants/1", "/metrics");
    let metrics = clients.http.get(metrics).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("rowlock_lane_panics_total 0\n") && metrics.contains("rowlock_queue_orders 0\n"),
        "{metrics}"
    );
    let audit = run(&folder.0, &["audit"], &[]);
    assert!(audit.status.success(), "{audit:?}");
}
