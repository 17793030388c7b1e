//! A database is restored, from a dump or to a moment: what was there is there, and what came after it is not lost in silence.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rowlock::embedded_pg::{Cluster, Options};
use serde_json::{Value, json};

use crate::clients::Customer;
use crate::command::{Folder, SECRET, Service, run};
use crate::crashes::Clients;
use crate::harness::{Setup, TestApp, TestDatabase, cluster, connect, number, order, until, words};
use crate::moves::id;
use crate::streams::{Frame, Stream};
use crate::two_tills::{Tills, run_timers};

const CLIENTS: usize = 8;

fn tool(bin_dir: &Path, name: &str, arguments: &[&str]) {
    let output = Command::new(bin_dir.join(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A copy of a database as it is at this moment, by way of a dump.
fn restored(url: &str) -> Arc<TestDatabase> {
    let (folder, copy) = (Folder::new(), TestDatabase::clone_of("template1"));
    let dump = folder.0.join("rowlock.dump").to_str().unwrap().to_owned();
    let bin_dir = cluster().cluster.bin_dir();
    tool(bin_dir, "pg_dump", &["-Fc", "-f", &dump, url]);
    tool(bin_dir, "pg_restore", &["--no-owner", "--exit-on-error", "-1", "-d", &copy.url, &dump]);
    Arc::new(copy)
}

/// As `ops/after-recovery.sql` says it is to be run.
fn after_recovery(url: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/after-recovery.sql");
    tool(cluster().cluster.bin_dir(), "psql", &["-X", "-q", "-f", script, url]);
}

fn stock_up(app: &TestApp) {
    app.execute("UPDATE goods SET stock = 1000000 WHERE merchant_id = 1; UPDATE stock_moves SET delta = 1000000 WHERE merchant_id = 1");
}

/// Places orders until it is told to stop, and returns what was answered, by key.
async fn load(customer: &Customer<'_>, client: usize, stop: &Cell<bool>) -> BTreeMap<String, String> {
    let mut placed = BTreeMap::new();
    while !stop.get() {
        let key = format!("client-{client}-key-{}", placed.len());
        let answer = customer.place(&key, &order(&[(1, 1), (2 + client as i64 % 4, 1)])).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        placed.insert(key, answer.text);
    }
    placed
}

#[actix_web::test]
async fn a_dump_under_load_serves_as_it_was() {
    let app = TestApp::start();
    stock_up(&app);
    let alice = app.customer("alice").await;
    let (early, early_body) = ("before", order(&[(3, 2)]));
    let before = alice.place(early, &early_body).await;
    assert_eq!(before.status, 201, "{}", before.text);
    let stop = Cell::new(false);
    let dump = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let url = app.database.url.clone();
        let copy = actix_web::rt::task::spawn_blocking(move || restored(&url)).await.unwrap();
        stop.set(true);
        copy
    };
    let (placed, copy) = tokio::join!(join_all((0..CLIENTS).map(|client| load(&alice, client, &stop))), dump);
    let known = placed.iter().map(BTreeMap::len).sum::<usize>() as i64 + 1;
    let copied = number(&mut copy.conn(), "SELECT count(*) AS value FROM orders");
    assert!((2..known).contains(&copied), "the dump is of the middle: {copied} of {known}");

    // The copy's own audit runs when `second` goes.
    let second = TestApp::with(Setup { database: Some(copy), ..Setup::default() });
    let alice = alice.at(&second);
    let again = alice.place(early, &early_body).await;
    assert_eq!((again.status.as_u16(), &again.text), (200, &before.text), "key, token and answer are the same");
    let (mut there, mut new) = (0, 0);
    for (client, placed) in placed.iter().enumerate() {
        for (key, text) in placed {
            let again = alice.place(key, &order(&[(1, 1), (2 + client as i64 % 4, 1)])).await;
            if again.status == 200 {
                assert_eq!(&again.text, text);
                there += 1;
            } else {
                assert_eq!(again.status, 201, "{}", again.text);
                new += 1;
            }
        }
    }
    assert_eq!((there + 1, new), (copied, known - copied), "each order is there whole, or is placed anew");

    // Numbers go on, listeners hear, timers find their leases.
    let manager = second.staff("manager").await;
    let (mut stream, from) = Stream::begin(&manager).await;
    assert!(from >= copied, "what waited in the outbox is published: {from}");
    let body = json!({ "name": { "zh": "汤", "en": "Soups" }, "position": 2 });
    let category = manager.post("/categories", &body).await;
    assert_eq!(category.status, 201, "{}", category.text);
    assert_eq!(number(&mut second.conn(), "SELECT max(id) AS value FROM categories"), 1001);
    let last = alice.place("after", &order(&[(1, 1)])).await;
    assert_eq!(last.status, 201, "{}", last.text);
    loop {
        if let Some(Frame::Event { id: seq, data, .. }) = stream.frame().await
            && data["order_id"] == id(&last.json())
        {
            assert_eq!(seq, from + 1);
            break;
        }
    }
    drop(stream);
    second.clock.advance(TimeDelta::minutes(16));
    assert!(run_timers(&second).await as i64 >= known, "nobody has paid");
    let metrics = second.app.metrics.render();
    let failed = metrics.lines().find(|line| line.starts_with("rowlock_job_failures_total{") && !line.ends_with(" 0"));
    assert_eq!(failed, None, "no timer failed");
}

/// A cluster of its own that archives what it writes.
struct Archived {
    folder: Folder,
    cluster: Cluster,
}

fn options(data_dir: &Path, settings: Vec<String>) -> Options {
    Options { data_dir: data_dir.to_owned(), user: "postgres".into(), settings, ..Options::default() }
}

impl Archived {
    fn start() -> Self {
        let folder = Folder::new();
        let archive = folder.0.join("archive");
        fs::create_dir(&archive).unwrap();
        let data = folder.0.join("one");
        let command = format!("'archive_command=test ! -f {0}/%f && cp %p {0}/%f'", archive.display());
        let cluster = Cluster::start(&options(&data, vec!["archive_mode=on".into(), command])).unwrap();
        // The server archives as its own user.
        tool(Path::new("/bin"), "chown", &[&owner_of(&cluster), archive.to_str().unwrap()]);
        Self { folder, cluster }
    }

    fn base_backup(&self) {
        // A folder that pg_basebackup makes on its way is closed to all others.
        fs::create_dir(self.folder.0.join("two")).unwrap();
        let to = self.folder.0.join("two/pg").to_str().unwrap().to_owned();
        let arguments = ["-D", &to, "-c", "fast", "-d", &self.cluster.url()];
        tool(self.cluster.bin_dir(), "pg_basebackup", &arguments);
        tool(Path::new("/bin"), "chown", &["-R", &owner_of(&self.cluster), &to]);
    }

    /// Recovers the base backup to a named moment, as a cluster of its own.
    fn recover_to(&self, moment: &str) -> Cluster {
        let (two, archive) = (self.folder.0.join("two"), self.folder.0.join("archive"));
        fs::write(two.join("pg/recovery.signal"), "").unwrap();
        let settings = vec![
            format!("'restore_command=cp {}/%f %p'", archive.display()),
            format!("'recovery_target_name={moment}'"),
            "recovery_target_action=promote".into(),
        ];
        Cluster::start(&options(&two, settings)).unwrap()
    }
}

fn owner_of(cluster: &Cluster) -> String {
    format!("--reference={}", cluster.dir().display())
}

#[actix_web::test]
async fn a_bad_statement_is_undone_by_going_back_to_the_moment_before() {
    let archived = Archived::start();
    let url = archived.cluster.url();
    let variables = |url| {
        [
            ("DATABASE_URL", url),
            ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET),
            ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND", "100000"),
            ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "100000"),
        ]
    };
    let folder = &archived.folder.0;
    assert!(run(folder, &["seed", "--goods", "20"], &variables(&url)).status.success());
    let mut service = Service::start(folder, &variables(&url));
    let clients = Clients::of(&service).await;
    let stop = Cell::new(false);
    let load = join_all((0..CLIENTS).map(async |client| {
        for key in 0.. {
            if stop.get() {
                break;
            }
            let (key, body) = wanted(client, key);
            let answer = clients.place(&key, &body).await;
            clients.placed.borrow_mut().insert(key, answer.text);
        }
    }));
    let accident = async {
        clients.until_answered(50).await;
        archived.base_backup();
        clients.until_answered(clients.answered() + 100).await;
        let before = clients.placed.borrow().clone();
        let mut conn = connect(&url);
        conn.batch_execute("SELECT pg_create_restore_point('before_the_accident')").unwrap();
        clients.until_answered(clients.answered() + 50).await;
        conn.batch_execute(
            "DELETE FROM order_events; DELETE FROM order_grants; DELETE FROM order_lines; DELETE FROM orders",
        )
        .unwrap();
        stop.set(true);
        conn.batch_execute("SELECT pg_switch_wal()").unwrap();
        before
    };
    let (_, before) = tokio::join!(load, accident);
    assert!(!run(folder, &["audit"], &variables(&url)).status.success(), "the harm is done");
    service.signal(Signal::SIGTERM);
    service.wait();
    // What was answered after the moment, and before the accident, is what going back costs.
    let all = clients.placed.borrow().clone();
    assert!(all.len() > before.len());

    let archive = folder.join("archive");
    until(|| fs::read_dir(&archive).unwrap().count() > 1).await;
    let mut conn = connect(&url);
    until(|| {
        number(
            &mut conn,
            "SELECT count(*) AS value FROM pg_stat_archiver WHERE last_archived_time > now() - interval '1 minute'",
        ) == 1
    })
    .await;
    drop(conn);
    let recovered = archived.recover_to("before_the_accident");
    after_recovery(&recovered.url());
    let url = recovered.url();
    let audit = run(folder, &["audit"], &variables(&url));
    assert!(audit.status.success(), "{audit:?}");
    let service = Service::start(folder, &variables(&url));
    *clients.url.borrow_mut() = service.url.clone();
    for (key, text) in &before {
        let (client, number) = key.trim_start_matches("client-").split_once("-key-").unwrap();
        let (_, body) = wanted(client.parse().unwrap(), number.parse().unwrap());
        let repeated = clients.place(key, &body).await;
        assert_eq!((repeated.status.as_u16(), &repeated.text), (200, text), "{key}");
    }
    // A key that was answered after the moment places its order anew: there is none under it any more.
    let anew = all.keys().filter(|key| !before.contains_key(*key)).map(|key| {
        let (client, number) = key.trim_start_matches("client-").split_once("-key-").unwrap();
        wanted(client.parse().unwrap(), number.parse().unwrap())
    });
    let mut placed = 0;
    for (key, body) in anew {
        placed += usize::from(clients.place(&key, &body).await.status == 201);
    }
    assert!(placed > 0);
    let audit = run(folder, &["audit"], &variables(&url));
    assert!(audit.status.success(), "{audit:?}");
    drop(service);
}

fn wanted(client: usize, key: usize) -> (String, Value) {
    (format!("client-{client}-key-{key}"), order(&[(2 + client as i64, 1 + key as i64 % 2), (1, 1)]))
}

/// An order of alice's, its payment at the provider announced: the order, and the payment's number there.
async fn announced(alice: &Customer<'_>, key: &str) -> (String, String) {
    let order = id(&alice.place(key, &order(&[(2, 1)])).await.json());
    let begun = alice.post(&format!("/orders/{order}/payments"), &json!({})).await;
    assert!(begun.status.is_success(), "{}", begun.text);
    (order, begun.json()["payment"]["id"].as_str().unwrap().replace('-', ""))
}

/// The database forgets what came after a moment; provider, customers and subscribers do not.
#[actix_web::test]
async fn what_others_know_after_going_back_is_repaired_or_told() {
    let tills = Tills::start(&[]);
    tills.one.execute("UPDATE merchants SET accept_timeout = 'reject' WHERE id = 1");
    let url: &'static str = tills.relay.url.clone().leak();
    let now = &tills.one;
    let (alice, manager) = (now.customer("alice").await, now.staff("manager").await);
    let (open, open_number) = announced(&alice, "open").await;
    let (back, back_number) = announced(&alice, "back").await;
    tills.press(&back_number, "pay").await;
    let state = |app: &TestApp, order: &str| {
        words(&mut app.conn(), &format!("SELECT state AS value FROM orders WHERE id = '{order}'"))
    };
    until(|| state(now, &back) == ["pending_accept"]).await;
    let moment = restored(&now.database.url);

    // After the moment: one is paid, one is placed and paid, one is rejected and paid back, and somebody becomes a customer.
    tills.press(&open_number, "pay").await;
    let (_, lost_number) = announced(&alice, "lost").await;
    tills.relay.keep_notices(&lost_number);
    tills.press(&lost_number, "pay").await;
    let notice = tills.relay.kept(&lost_number).await;
    assert_eq!(notice.to(now).send().await.unwrap().status(), 200);
    let rejected = manager.post(&format!("/orders/{back}/reject"), &json!({ "reason": "too_busy" })).await;
    assert_eq!(rejected.status, 200, "{}", rejected.text);
    for _ in 0..4 {
        tills.advance(TimeDelta::minutes(1));
        run_timers(now).await;
    }
    assert_eq!(tills.at_provider(&back_number).await.left(), 0);
    let bob = now.customer("bob").await;
    bob.place("first", &order(&[(1, 1)])).await;
    let (_, known) = Stream::begin(&manager).await;

    let rewound =
        Setup { database: Some(moment), variables: vec![("ROWLOCK_GATEWAYS_PUBLIC_URL", url)], ..Setup::default() };
    after_recovery(&rewound.database.as_ref().unwrap().url);
    let then = TestApp::with(rewound);
    then.clock.advance(now.clock.now() - then.clock.now());
    let (alice, bob, manager) = (alice.at(&then), bob.at(&then), manager.at(&then));

    // Who listened up to a number that is not there any more is told so, however much has happened since.
    let page = manager.get(&format!("/events/page?after={known}")).await.json();
    assert!(page["is_reset"] == true && page["next_after"].as_i64().unwrap() > 1_000_000, "{page}");
    // Whose account is not there any more logs in again.
    assert_eq!(bob.place("first", &order(&[(1, 1)])).await.refusal(), (401, "unauthenticated".to_owned()));

    // The notice of money for a payment that is not there any more: it is kept, and handed to a human.
    assert_eq!(notice.to(&then).send().await.unwrap().status(), 200);
    let kept =
        format!("SELECT count(*) AS value FROM gateway_notices WHERE number = '{lost_number}' AND outcome = 'kept'");
    assert_eq!(number(&mut then.conn(), &kept), 1);
    // The provider is asked about what is open, and so its money is found.
    then.clock.advance(TimeDelta::minutes(1));
    run_timers(&then).await;
    assert_eq!(state(&then, &open), ["pending_accept"]);
    assert_eq!(manager.post(&format!("/orders/{open}/accept"), &json!({ "minutes": 10 })).await.status, 200);
    // What was paid back there is asked for once more here, in vain: no money goes twice, and a human hears of it.
    assert_eq!(tills.at_provider(&back_number).await.went_back.len(), 1);
    for _ in 0..14 {
        then.clock.advance(TimeDelta::hours(2));
        run_timers(&then).await;
    }
    let alerts = "SELECT kind AS value FROM alerts WHERE resolved_at IS NULL AND kind <> 'payment_stuck' ORDER BY kind";
    assert_eq!(words(&mut then.conn(), alerts), ["payment_unknown", "refund_stuck"]);
    assert_eq!(tills.at_provider(&back_number).await.went_back.len(), 1);
    assert_eq!(alice.place("lost", &order(&[(2, 1)])).await.status, 201, "the key of an order that is gone is free");
}
