//! The binary as its users run it: started, stopped, killed, misconfigured.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rowlock::store::audit::CHECKS;
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{TestDatabase, connect, number, open_temp_dir, order};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(open_temp_dir())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn rowlock(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowlock"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .env("RUST_BACKTRACE", "0");
    command.envs(variables.iter().copied());
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    rowlock(folder, arguments, variables).output().unwrap()
}

/// The one sentence a failed command leaves on standard error.
pub(crate) fn sentence(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let sentence = text.lines().last().unwrap_or_default().to_owned();
    sentence.strip_prefix("rowlock: ").unwrap_or_else(|| panic!("not ours: {text}")).to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running `rowlock serve`; killed with the test if it did not stop before.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
    /// All that it has said on standard error.
    said: Arc<Mutex<String>>,
}

impl Service {
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_logged(folder, variables).0
    }

    /// As [`Service::start`], with what it logged until it was up.
    pub(crate) fn start_logged(folder: &Path, variables: &[(&str, &str)]) -> (Self, Vec<String>) {
        Self::run(rowlock(folder, &["serve"], variables))
    }

    /// As [`Service::start`], from a shell that has run `limits` before: `ulimit -n 256`.
    pub(crate) fn start_limited(folder: &Path, variables: &[(&str, &str)], limits: &str) -> (Self, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limits}; exec \"$0\" serve"), env!("CARGO_BIN_EXE_rowlock")]);
        command.current_dir(folder).env_remove("DATABASE_URL").env_remove("REDIS_URL").envs(variables.iter().copied());
        Self::run(command)
    }

    pub(crate) fn run(mut command: Command) -> (Self, Vec<String>) {
        let port = free_port().to_string();
        command.env("ROWLOCK_HTTP_PORT", &port).env("ROWLOCK_HTTP_SHUTDOWN_SECONDS", "10").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("it stopped: {seen:#?}") };
            let is_up = line.contains("Serves http://");
            seen.push(line);
            if is_up {
                break;
            }
        }
        let said = Arc::new(Mutex::new(seen.join("\n") + "\n"));
        let all = Arc::clone(&said);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| all.lock().unwrap().push_str(&format!("{line}\n")));
        });
        (Self { child, url: format!("http://127.0.0.1:{port}/v1/merchants/1"), said }, seen)
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").split('/').next().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) async fn token(&self) -> String {
        let request = reqwest::Client::new().post(format!("{}/sessions", self.url)).json(&json!({ "code": "alice" }));
        Answer::of(request).await.json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn place(&self, token: &str, key: &str, body: &Value) -> Answer {
        let request = reqwest::Client::new().post(format!("{}/orders", self.url)).bearer_auth(token);
        Answer::of(request.header("Idempotency-Key", key).json(body)).await
    }

    /// As a client does: 503 means to repeat with the same key.
    pub(crate) async fn place_patiently(&self, token: &str, key: &str, body: &Value) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.place(token, key, body).await;
            if answer.status != 503 {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", answer.text);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.signal(Signal::SIGTERM);
            self.wait();
        }
    }
}

/// The process id of the private cluster's server, while it runs.
pub(crate) fn postmaster(folder: &Path) -> Option<i32> {
    fs::read_to_string(folder.join("data/pg/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

/// The server removes its pid file a moment before it ends.
pub(crate) fn is_gone(pid: i32) -> bool {
    (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        // A zombie whose parent has not looked yet is gone, too.
        !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    })
}

#[actix_web::test]
async fn it_serves_stops_and_keeps_its_data() {
    let folder = Folder::new();
    let mut service = Service::start(&folder.0, &[]);
    let token = service.token().await;
    let placed = service.place(&token, "k", &order(&[(1, 2)])).await;
    assert_eq!(placed.status, 201);
    let server = postmaster(&folder.0).unwrap();

    let audit = run(&folder.0, &["audit"], &[]);
    let clean = format!("audit: {} checks, 0 violations", CHECKS.len());
    assert!(audit.status.success() && String::from_utf8_lossy(&audit.stdout).contains(&clean), "{audit:?}");
    let second = run(&folder.0, &["serve"], &[("ROWLOCK_HTTP_PORT", &free_port().to_string())]);
    assert!(sentence(&second).starts_with("another rowlock is using "), "{second:?}");
    let url = String::from_utf8(run(&folder.0, &["database-url"], &[]).stdout).unwrap();
    assert_eq!(number(&mut connect(url.trim()), "SELECT count(*) AS value FROM orders"), 1);
    let seeded = run(&folder.0, &["seed", "--goods", "1234"], &[]);
    assert_eq!(String::from_utf8_lossy(&seeded.stdout), "added merchant 2\n");

    service.signal(Signal::SIGTERM);
    assert_eq!(service.wait().code(), Some(0));
    assert!(is_gone(server), "PostgreSQL is stopped");
    assert!(postmaster(&folder.0).is_none());

    let mut service = Service::start(&folder.0, &[]);
    let repeated = service.place(&token, "k", &order(&[(1, 2)])).await;
    assert_eq!((repeated.status.as_u16(), repeated.text), (200, placed.text), "token and order outlive the stop");
    let menu =
        reqwest::get(service.url.trim_end_matches('1').to_owned() + "2/menu").await.unwrap().text().await.unwrap();
    assert_eq!(menu.matches("\"stock\":").count(), 1234);
    service.signal(Signal::SIGINT);
    assert_eq!(service.wait().code(), Some(0));
}

#[actix_web::test]
async fn it_recovers_by_itself_after_kill_9() {
    let folder = Folder::new();
    let mut service = Service::start(&folder.0, &[]);
    let token = service.token().await;
    let mut placed = Vec::new();
    for round in 0..3 {
        let key = format!("round {round}").replace(' ', "-");
        let answer = service.place(&token, &key, &order(&[(1, 1)])).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        placed.push((key, answer.text));
        let server = postmaster(&folder.0).unwrap();
        // The service alone, both, PostgreSQL alone: that the service starts again by itself.
        if round != 0 {
            kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
        }
        if round != 2 {
            service.signal(Signal::SIGKILL);
            service.wait();
            service = Service::start(&folder.0, &[]);
        }
    }
    for (key, text) in &placed {
        let repeated = service.place_patiently(&token, key, &order(&[(1, 1)])).await;
        assert_eq!((repeated.status.as_u16(), &repeated.text), (200, text), "{key}");
    }
    let again = service.place_patiently(&token, "again", &order(&[(1, 1)])).await;
    assert!(again.status.is_success(), "{}", again.text);
    assert!(run(&folder.0, &["audit"], &[]).status.success());
}

/// A stop lets the requests finish that were accepted before it.
#[actix_web::test]
async fn a_stop_finishes_what_was_accepted() {
    use diesel::connection::SimpleConnection;
    let database = TestDatabase::clone_of("template");
    let variables = [("DATABASE_URL", database.url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    let folder = Folder::new();
    let mut service = Service::start(&folder.0, &variables);
    assert!(!folder.0.join("data").exists(), "with a DATABASE_URL nothing is kept here");
    let token = service.token().await;
    let mut stranger = database.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 1 FOR UPDATE").unwrap();
    let body = order(&[(1, 1)]);
    let mut watcher = database.conn();
    let (answer, ()) = tokio::join!(service.place(&token, "k", &body), async {
        waits_for_a_lock(&mut watcher).await;
        service.signal(Signal::SIGTERM);
        tokio::time::sleep(Duration::from_millis(300)).await;
        stranger.batch_execute("COMMIT").unwrap();
    });
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(service.wait().code(), Some(0));
}

pub(crate) async fn waits_for_a_lock(watcher: &mut diesel::PgConnection) {
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..400 {
        if number(watcher, waiting) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody waits for a lock");
}

/// A second signal does not wait for what was accepted.
#[actix_web::test]
async fn a_second_signal_stops_at_once() {
    use diesel::connection::SimpleConnection;
    let database = TestDatabase::clone_of("template");
    let url = database.url.as_str();
    let patient = ("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "9000");
    let folder = Folder::new();
    let mut service =
        Service::start(&folder.0, &[("DATABASE_URL", url), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET), patient]);
    let token = service.token().await;
    let mut stranger = database.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 1 FOR UPDATE").unwrap();
    let request = reqwest::Client::new().post(format!("{}/orders", service.url)).bearer_auth(&token);
    let request = request.header("Idempotency-Key", "k").json(&order(&[(1, 1)]));
    let pending = actix_web::rt::spawn(request.send());
    waits_for_a_lock(&mut database.conn()).await;
    service.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    service.signal(Signal::SIGINT);
    assert_eq!(service.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(pending.await.unwrap().is_err());
}

/// A signal that comes while PostgreSQL is brought up leaves none behind.
#[test]
fn a_signal_during_the_start_leaves_nothing_running() {
    for delay_ms in [0, 300, 600, 900, 1200, 1500] {
        let folder = Folder::new();
        let port = free_port().to_string();
        let mut child =
            rowlock(&folder.0, &["serve"], &[("ROWLOCK_HTTP_PORT", &port)]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + delay_ms));
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
        assert!(postmaster(&folder.0).is_none_or(is_gone), "after {delay_ms} ms");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fs::write(folder.0.join("typo.toml"), "[http]\nprot = 1\n").unwrap();
    let nobody_there = "postgres://rowlock@127.0.0.1:1/rowlock";
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (&["serve"], &[("ROWLOCK_HTTP_PORT", &port)], "cannot listen on 127.0.0.1:"),
        (&["serve"], &[("ROWLOCK_HTTP_PORT", "0")], "http.port is 0; it must be from 1 to 65535"),
        (&["serve", "--config", "typo.toml"], &[], "unknown key http.prot"),
        (&["serve", "--config", "none.toml"], &[], "cannot read none.toml: "),
        (&["check-config"], &[("ROWLOCK_HTTP_PROT", "1")], "unknown variable ROWLOCK_HTTP_PROT"),
        (&["serve"], &[("ROWLOCK_EMBEDDED_PG_BIN_DIR", "/nowhere")], "PostgreSQL is not installed: "),
        (&["serve"], &[("DATABASE_URL", nobody_there)], "with a database.url, auth.token_secret is required"),
        (
            &["serve"],
            &[("DATABASE_URL", nobody_there), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)],
            "cannot reach the database: ",
        ),
        (&["audit"], &[("DATABASE_URL", nobody_there)], "cannot reach the database: "),
        (&["audit"], &[("DATABASE_URL", "postgres//u:hunter2@db/x")], "database.url does not start with postgres://"),
        (
            &["audit"],
            &[("DATABASE_URL", "postgres://u:hunter2%zz@h/x")],
            "cannot reach the database: database.url is malformed",
        ),
        (&["audit"], &[], "there is no cluster in data: nothing to audit"),
        (&["database-url"], &[], "the private PostgreSQL does not run: it is there while `rowlock serve` is"),
        (&["serve"], &[("ROWLOCK_DATA_DIR", "/proc/rowlock")], "cannot make /proc/rowlock: "),
    ];
    for (arguments, variables, expected) in cases {
        let free = free_port().to_string();
        let mut all = vec![("ROWLOCK_HTTP_PORT", free.as_str())];
        all.extend_from_slice(variables);
        let output = run(&folder.0, arguments, &all);
        let sentence = sentence(&output);
        assert!(sentence.starts_with(expected), "{arguments:?} {variables:?}: {sentence}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains(SECRET) && !said.contains("hunter2"), "{said}");
    }
    assert!(!folder.0.join("data/pg").exists(), "no cluster is left behind");
}

#[test]
fn commands_explain_themselves() {
    let folder = Folder::new();
    let help = run(&folder.0, &["--help"], &[]);
    let text = String::from_utf8(help.stdout).unwrap();
    for word in [
        "serve",
        "migrate",
        "seed",
        "merchant",
        "staff",
        "audit",
        "reconcile",
        "database-url",
        "openapi",
        "check-config",
        "DATABASE_URL",
        "Examples:",
    ] {
        assert!(text.contains(word), "{word}");
    }
    let document: Value = serde_json::from_slice(&run(&folder.0, &["openapi"], &[]).stdout).unwrap();
    assert!(document["paths"]["/v1/merchants/{m}/orders"]["post"].is_object());
    let config = run(&folder.0, &["check-config"], &[("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)]);
    let text = String::from_utf8(config.stdout).unwrap();
    assert!(config.status.success() && text.contains("lines_max: 50") && !text.contains(SECRET), "{text}");
    assert_eq!(run(&folder.0, &["seed", "--goods", "0"], &[]).status.code(), Some(2));
}

#[test]
fn migrate_and_audit_work_on_a_given_server() {
    let database = TestDatabase::clone_of("template1");
    let variables = [("DATABASE_URL", database.url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    let folder = Folder::new();
    let unready = [variables[0], variables[1], ("ROWLOCK_DATABASE_MIGRATE_AT_START", "false")];
    let lacking = sentence(&run(
        &folder.0,
        &["serve"],
        &[&unready[..], &[("ROWLOCK_HTTP_PORT", &free_port().to_string())]].concat(),
    ));
    let count = rowlock::store::migrations::count();
    assert_eq!(lacking, format!("the database lacks {count} migrations: run `rowlock migrate`"));
    let migrated = String::from_utf8(run(&folder.0, &["migrate"], &variables).stdout).unwrap();
    assert!(migrated.contains("ran 2026-11-21-000001_create_merchants"), "{migrated}");
    let again = String::from_utf8(run(&folder.0, &["migrate"], &variables).stdout).unwrap();
    assert_eq!(again, format!("0 of {count} migrations were missing; the database is up to date\n"));
    assert_eq!(String::from_utf8(run(&folder.0, &["seed"], &variables).stdout).unwrap(), "added merchant 1\n");
    assert!(run(&folder.0, &["audit"], &variables).status.success());

    use diesel::connection::SimpleConnection;
    database.conn().batch_execute("UPDATE goods SET stock = stock - 1 WHERE id = 7").unwrap();
    let audit = run(&folder.0, &["audit"], &variables);
    assert_eq!(audit.status.code(), Some(1));
    let text = String::from_utf8(audit.stdout).unwrap();
    assert!(text.contains("BROKEN    stock_conserved") && text.contains("merchant 1 goods 7: stock is"), "{text}");
}
