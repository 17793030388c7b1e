//! What every test starts from: a PostgreSQL cluster for the whole run, and per test a database cloned from a
//! migrated template with two small shops, a server on a free port, and a clock in hand.
//!
//! A [`TestApp`] that goes out of scope runs the audit: a test that leaves a broken promise behind fails.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use chrono::{DateTime, TimeZone, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use nix::sys::statvfs::statvfs;
use reqwest::Method;
use rowlock::clock::{Clock, uuid_at};
use rowlock::config::Config;
use rowlock::domain::order::{Fulfilment, PayMethod};
use rowlock::domain::placement::{IdempotencyKey, Limits, Placement, WantedLines};
use rowlock::domain::staff::Role;
use rowlock::domain::{CustomerId, GoodsId, MerchantId, OrderId, PaymentId};
use rowlock::embedded_pg::{Cluster, Options};
use rowlock::error::Error;
use rowlock::gateway::Receipt;
use rowlock::placement::{Point, Probe};
use rowlock::service::payments::Confirmation;
use rowlock::store::{audit, migrations, people};
use rowlock::{App, Parts, http, service};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::clients::Answer;

/// The shop most tests order from: five goods, 100 of each, priced 10, 20, 30, 0.50 and 9.90 yuan; goods 6 is off the menu.
/// Freight is 5 yuan below 100. Shop 2 has goods 101.
const FIXTURE: &str = "
    INSERT INTO merchants (id, name_zh, name_en, time_zone, minimum_amount, freight, free_freight_from, created_at)
        SELECT id, '店', 'Shop', 'Asia/Shanghai', 0, 5, 100, '2026-01-01Z' FROM generate_series(1, 2) id;
    INSERT INTO categories (merchant_id, id, name_zh, name_en, position) VALUES (1, 1, '菜', 'Dishes', 1), (2, 2, '菜', 'Dishes', 1);
    INSERT INTO products (merchant_id, id, category_id, name_zh, name_en, position)
        VALUES (1, 1, 1, '饺子', 'Dumplings', 1), (2, 2, 2, '面', 'Noodles', 1);
    INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, on_sale, position)
        VALUES (1, 1, 1, '小', 'small', 10, 100, true, 1), (1, 2, 1, '中', 'medium', 20, 100, true, 2),
               (1, 3, 1, '大', 'large', 30, 100, true, 3), (1, 4, 1, '单', 'single', 0.5, 100, true, 4),
               (1, 5, 1, '特', 'special', 9.9, 100, true, 5), (1, 6, 1, '旧', 'old', 8, 100, false, 6),
               (2, 101, 2, '碗', 'bowl', 15, 100, true, 1);
    INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
        SELECT merchant_id, gen_random_uuid(), id, stock, 'opening', 'test', '2026-01-01Z' FROM goods;
    ALTER TABLE categories ALTER COLUMN id RESTART WITH 1001;
    ALTER TABLE products ALTER COLUMN id RESTART WITH 1001;
    ALTER TABLE goods ALTER COLUMN id RESTART WITH 1001;
";

/// Of every member of the staff: one a role in each shop, who logs in by the name of the role.
pub(crate) const PASSWORD: &str = "correct horse";

/// The cluster of this run. `reaper` waits for this process to end, however it ends, and then stops the server.
pub(crate) struct TestCluster {
    pub(crate) cluster: Cluster,
    _reaper: Child,
}

pub(crate) fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let dir = open_temp_dir();
        let settings = [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=400",
            "log_line_prefix='%d '",
            // The statement that locks goods is longer than a kibibyte, and tests look for its end.
            "track_activity_query_size=4kB",
        ];
        let cluster = start_cluster(&dir, &settings);
        let reaper = "cat; pg=$(head -n 1 \"$1/postmaster.pid\"); kill -INT $pg; while kill -0 $pg; do sleep 0.1; done; rm -rf \"$0\"";
        let reaper = Command::new("sh")
            .args(["-c", reaper])
            .args([&dir, cluster.dir()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut conn = connect(&cluster.url_of("postgres"));
        conn.batch_execute("CREATE DATABASE template").unwrap();
        let mut template = connect(&cluster.url_of("template"));
        migrations::run(&mut template).unwrap();
        template.batch_execute(FIXTURE).unwrap();
        let hash = service::staff::hash(PASSWORD).unwrap();
        for role in Role::ALL {
            let staff = format!(
                "INSERT INTO staff (merchant_id, id, login, name, password_hash, role, tokens_from, created_at)
                     SELECT id, gen_random_uuid(), '{role}', 'The {role}', '{hash}', '{role}', '2026-01-01Z', '2026-01-01Z' FROM merchants"
            );
            template.batch_execute(&staff).unwrap();
        }
        TestCluster { cluster, _reaper: reaper }
    })
}

/// A folder that other users can enter: the server runs as one of them when the tests are root's. In memory where there is enough
/// and nobody wants it elsewhere: the thousands of files that databases are made of cost a disk more than the tests cost the processor.
pub(crate) fn open_temp_dir() -> std::path::PathBuf {
    let in_memory = Path::new("/dev/shm");
    #[expect(clippy::unnecessary_cast, reason = "macOS counts blocks with 32 bits")]
    let room = statvfs(in_memory).map_or(0, |stat| stat.blocks_available() as u64 * stat.fragment_size() as u64);
    let parent = match std::env::var_os("TMPDIR") {
        None if room > 4 << 30 => in_memory.to_owned(),
        _ => std::env::temp_dir(),
    };
    let dir = tempfile::Builder::new().prefix("rowlock-test-").tempdir_in(parent).unwrap().keep();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn start_cluster(dir: &Path, settings: &[&str]) -> Cluster {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Cluster::start(&Options { data_dir: dir.to_owned(), user: "postgres".into(), settings, ..Options::default() })
        .unwrap()
}

pub(crate) fn connect(url: &str) -> PgConnection {
    PgConnection::establish(url).unwrap()
}

/// A database of its own, cloned from the template; dropped with the value.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl TestDatabase {
    pub(crate) fn clone_of(template: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let cluster = &cluster().cluster;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut conn = connect(&cluster.url_of("postgres"));
        conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).unwrap();
        Self { url: cluster.url_of(&name), name }
    }

    pub(crate) fn conn(&self) -> PgConnection {
        connect(&self.url)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let mut conn = connect(&cluster().cluster.url_of("postgres"));
        let _ = conn.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The one number that `sql` selects, as a column named `value`.
pub(crate) fn number(conn: &mut PgConnection, sql: &str) -> i64 {
    diesel::sql_query(sql).get_result::<Number>(conn).unwrap().value
}

/// The texts that `sql` selects, as a column named `value`.
pub(crate) fn words(conn: &mut PgConnection, sql: &str) -> Vec<String> {
    diesel::sql_query(sql).load::<Word>(conn).unwrap().into_iter().map(|word| word.value).collect()
}

/// What a test wants otherwise than the rest.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) probe: Option<Probe>,
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// Another instance's database, for a second one beside it.
    pub(crate) database: Option<Arc<TestDatabase>>,
}

/// A server on a database of its own.
pub(crate) struct TestApp {
    pub(crate) clock: Clock,
    pub(crate) app: Data<App>,
    pub(crate) address: String,
    client: reqwest::Client,
    server: Option<(ServerHandle, thread::JoinHandle<()>)>,
    /// Tests that break promises on purpose look at the audit themselves.
    pub(crate) audit_at_end: bool,
    /// Dropped last, after all that is connected to it.
    pub(crate) database: Arc<TestDatabase>,
}

pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).unwrap()
}

impl TestApp {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let _ = env_logger::Builder::new().parse_filters("warn").is_test(true).try_init();
        let database = setup.database.unwrap_or_else(|| Arc::new(TestDatabase::clone_of("template")));
        let limits = [
            ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND", "100000"),
            ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "100000"),
        ];
        let logins = [
            ("ROWLOCK_HTTP_LOGINS_PER_MINUTE", "1000000"),
            ("ROWLOCK_HTTP_STAFF_LOGINS_PER_MINUTE", "100000"),
            // Tests run them when their clock says so.
            ("ROWLOCK_JOBS_INTERVAL_MS", "0"),
            ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "0"),
            ("ROWLOCK_HTTP_STAFF_REQUESTS_PER_SECOND", "100000"),
        ];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let own = [("ROWLOCK_GATEWAYS_PUBLIC_URL", address.as_str())];
        let variables = own.iter().chain(&limits).chain(&logins).chain(&setup.variables);
        let config =
            Config::from_parts("", variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
        let clock = Clock::at(noon());
        let parts = Parts { clock: clock.clone(), probe: setup.probe, ..Parts::default() };
        let app = Data::new(App::new(config, &database.url, &[7; 32], parts).unwrap());
        let (sender, receiver) = mpsc::channel();
        let served = app.clone();
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let server = http::serve(served, listener).unwrap();
                sender.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receiver.recv().unwrap();
        // Shorter than the server keeps a connection that nobody uses: none is used that it is just closing.
        let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(2)).build().unwrap();
        Self { database, clock, app, address, client, server: Some((handle, thread)), audit_at_end: true }
    }

    /// A second instance of the service on the same database.
    pub(crate) fn beside(&self, setup: Setup) -> Self {
        Self::with(Setup { database: Some(Arc::clone(&self.database)), ..setup })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// The id of a customer of shop 1.
    pub(crate) async fn customer_id(&self, name: &str) -> CustomerId {
        self.customer(name).await;
        let find = |conn: &mut PgConnection| people::find_customer(conn, MerchantId(1), "sandbox", name);
        self.app.store.read_any(|conn| find(conn).map_err(Error::from)).unwrap().unwrap()
    }

    pub(crate) fn conn(&self) -> PgConnection {
        self.database.conn()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.conn().batch_execute(sql).unwrap();
    }

    pub(crate) fn stock(&self, goods: i64) -> i64 {
        number(&mut self.conn(), &format!("SELECT stock::bigint AS value FROM goods WHERE id = {goods}"))
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        number(&mut self.conn(), &format!("SELECT count(*) AS value FROM {table}"))
    }

    /// A metric's value, by the name and labels it is scraped under; zero for labels nothing was counted under yet.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.app.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert!(value.is_some() || name.contains('{'), "there is no {name}");
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// What the audit finds, a line each.
    pub(crate) fn audit(&self) -> Vec<String> {
        let found = audit::run(&mut self.conn()).unwrap();
        let line = |(check, found): (&audit::Check, Vec<audit::Violation>)| {
            found
                .into_iter()
                .map(|v| format!("{}: merchant {} {}: {}", check.name, v.merchant_id, v.item, v.finding))
                .collect::<Vec<_>>()
        };
        found.into_iter().flat_map(line).collect()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.server.take() {
            drop(handle.stop(false));
            let _ = thread.join();
        }
        if thread::panicking() {
            // Its lanes may be frozen for good.
            std::mem::forget(self.app.clone());
        }
        if self.audit_at_end && !thread::panicking() {
            assert_eq!(self.audit(), Vec::<String>::new(), "the audit after the test");
        }
    }
}

/// What a gateway confirms: money for an attempt to pay an order that was closed since, so that it stands in nobody's way.
pub(crate) fn confirmation(app: &TestApp, order: &str, amount: &str, transaction: &str) -> Confirmation {
    let sql = format!(
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, actor, created_at)
             SELECT merchant_id, gen_random_uuid(), id, 'sandbox', 'closed', greatest(total, 1), 'test', placed_at
             FROM orders WHERE id = '{order}' RETURNING id::text AS value"
    );
    let attempt = words(&mut app.conn(), &sql).pop().unwrap();
    let receipt = Receipt { transaction: transaction.to_owned(), amount: amount.parse().unwrap() };
    Confirmation { payment: PaymentId(attempt.parse().unwrap()), gateway: PayMethod::Sandbox, receipt }
}

/// A pickup order of `(goods, count)` lines.
pub(crate) fn order(lines: &[(i64, i64)]) -> Value {
    let lines: Vec<Value> = lines.iter().map(|(goods, count)| json!({ "goods_id": goods, "count": count })).collect();
    json!({ "lines": lines, "fulfilment": { "kind": "pickup" }, "pay_method": "sandbox" })
}

/// The same as the engine takes it: a request whose hash is made of its first count.
pub(crate) fn placement(customer_id: CustomerId, key: &str, lines: &[(i64, i64)]) -> Placement {
    let hash = u8::try_from(lines[0].1).unwrap();
    let lines: Vec<_> = lines.iter().map(|(goods, count)| (GoodsId(*goods), *count)).collect();
    Placement {
        id: OrderId(uuid_at(noon())),
        customer_id,
        key: IdempotencyKey::new(key).unwrap(),
        request_hash: [hash; 32],
        lines: WantedLines::new(&lines, Limits { lines_max: 50, count_max: 999 }).unwrap(),
        fulfilment: Fulfilment::Pickup,
        pay_method: PayMethod::Cash,
        points: 0,
        cart: None,
        expected_total: None,
        remark: String::new(),
    }
}

/// Waits until something holds that is sure to come.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited for nothing");
}

/// How a frozen placement goes on.
enum Go {
    On,
    Panic,
}

/// A probe that stops the placements that first reach `point`, each until it is let go.
pub(crate) struct Freezer {
    pub(crate) probe: Probe,
    reached: Arc<Semaphore>,
    /// One for each placement that is to be frozen, the next one to be let go first.
    gates: Mutex<VecDeque<mpsc::Sender<Go>>>,
}

impl Freezer {
    /// Freezes one placement.
    pub(crate) fn at(point: Point) -> Self {
        Self::of(1, point)
    }

    /// Freezes the first `count` placements, be it one after the other or all at once.
    pub(crate) fn of(count: usize, point: Point) -> Self {
        let reached = Arc::new(Semaphore::new(0));
        let (gates, waits): (VecDeque<_>, VecDeque<_>) = (0..count).map(|_| mpsc::channel()).unzip();
        let (waits, frozen) = (Mutex::new(waits), Arc::clone(&reached));
        let probe: Probe = Arc::new(move |at| {
            if at != point {
                return;
            }
            // Whoever is frozen takes its gate along; nobody else may wait for the lock on them meanwhile.
            let next = waits.lock().unwrap().pop_front();
            if let Some(wait) = next {
                frozen.add_permits(1);
                match wait.recv() {
                    Ok(Go::Panic) => panic!("as the test wants it"),
                    // An error means that the test is over.
                    Ok(Go::On) | Err(_) => {}
                }
            }
        });
        Self { probe, reached, gates: Mutex::new(gates) }
    }

    /// Waits until one more placement stands at the point.
    pub(crate) async fn wait(&self) {
        let one = tokio::time::timeout(Duration::from_secs(20), self.reached.acquire()).await;
        one.expect("somebody reaches the point").unwrap().forget();
    }

    /// Lets the one that was frozen first go on.
    pub(crate) fn release(&self) {
        self.go(Go::On);
    }

    /// Lets the one that was frozen first panic where it stands.
    pub(crate) fn panic(&self) {
        self.go(Go::Panic);
    }

    fn go(&self, go: Go) {
        self.gates.lock().unwrap().pop_front().expect("somebody is frozen").send(go).unwrap();
    }
}
