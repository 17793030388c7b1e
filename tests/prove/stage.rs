//! What a round happens on: a PostgreSQL cluster with fsync on, a Redis, a provider, two instances, and a restaurant.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use rowlock::clock::Clock;
use rowlock::domain::staff::Role;
use rowlock::domain::{CustomerId, MerchantId, StaffId};
use rowlock::embedded_pg::{Cluster, Options};
use rowlock::http::auth::Tokens;
use rowlock::store::migrations;
use rowlock::store::staff::Member;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use uuid::Uuid;

use crate::instance::Instance;
use crate::plan::Plan;
use crate::provider::Provider;
use crate::wire::Wire;

const SECRET: &str = "a secret that only the proof uses";
/// How long instances wait for the provider.
const TIMEOUT_MS: u64 = 500;
/// Longer than every time-out the instances are given here.
pub(crate) const TOO_LONG: Duration = Duration::from_millis(3_500);
/// Units of each goods to begin with.
pub(crate) const STOCK: i64 = 400;
/// Goods 1 to this one.
pub(crate) const GOODS: i64 = 5;
/// Points of each customer to begin with.
pub(crate) const POINTS: i64 = 20_000;
/// Votes that a unit of goods 4 grants its buyer.
pub(crate) const VOTES: i64 = 3;
/// Bytes of a disk that becomes full.
const SMALL_DISK_MB: u32 = 400;

/// A PostgreSQL cluster, on the disk, or on a small one that can be filled.
pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    /// The small disk, if that is where it is.
    pub(crate) small_disk: Option<SmallDisk>,
    rounds: u64,
    _dir: TempDir,
    /// Waits for this process to end, however it ends, and then stops the server, unmounts the small disk and removes the folder.
    _reaper: Child,
}

const REAPER: &str = "cat; pg=$(head -n 1 \"$1/postmaster.pid\") && kill -INT $pg && while kill -0 $pg; do sleep 0.1; done; \
    [ -z \"$2\" ] || { umount \"$2\"; rmdir \"$2\"; }; rm -rf \"$0\"";

impl Ground {
    /// Starts it, with an empty migrated database to clone.
    pub(crate) fn start(is_small: bool) -> Result<Self, String> {
        // Not the system's folder for such: that may be memory, where fsync costs nothing.
        let dir = tempfile::Builder::new().prefix("prove-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let small_disk = if is_small { Some(SmallDisk::mount()?) } else { None };
        let data_dir = small_disk.as_ref().map_or_else(|| dir.path().to_owned(), |disk| disk.0.join("pg"));
        let settings = ["max_connections=150", "autovacuum_naptime=5s", "max_wal_size=128MB", "min_wal_size=32MB"];
        let settings = settings.map(str::to_owned).to_vec();
        let cluster = Cluster::start(&Options { data_dir, user: "postgres".into(), settings, ..Options::default() })
            .map_err(|error| error.to_string())?;
        let reaper = Command::new("sh")
            .args(["-c", REAPER])
            .args([dir.path(), cluster.dir(), small_disk.as_ref().map_or(Path::new(""), |disk| &disk.0)])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        PgConnection::establish(&cluster.url_of("postgres"))
            .unwrap()
            .batch_execute("CREATE DATABASE template")
            .unwrap();
        migrations::run(&mut PgConnection::establish(&cluster.url_of("template")).unwrap()).unwrap();
        Ok(Self { cluster, small_disk, rounds: 0, _dir: dir, _reaper: reaper })
    }

    /// Starts the server again if it is down, however often that takes.
    pub(crate) fn revive(&self) {
        let begun = Instant::now();
        while let Err(error) = if self.cluster.is_alive() { Ok(()) } else { self.cluster.up() } {
            assert!(begun.elapsed() < Duration::from_secs(60), "PostgreSQL does not come back: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A connection, past every wire; a server that recovers is waited for.
    pub(crate) fn connect(&self, database: &str) -> PgConnection {
        let begun = Instant::now();
        loop {
            match PgConnection::establish(&self.cluster.url_of(database)) {
                Ok(conn) => return conn,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A file system in memory that is soon full.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("rowlock-disk-").tempdir().unwrap().keep();
        let size = format!("size={SMALL_DISK_MB}m,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(dir)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.ballast()).unwrap();
        let block = vec![0; 64 * 1024];
        while file.write_all(&block).is_ok() {}
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A Redis that forgets everything when it is killed.
pub(crate) struct Redis {
    dir: TempDir,
    child: Child,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("rowlock-redis-").tempdir().unwrap();
        let child = Self::spawn(dir.path());
        Self { dir, child }
    }

    fn spawn(dir: &Path) -> Child {
        let start = |program: &str| {
            let mut command = Command::new(program);
            command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"]);
            command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        let child = start("redis-server").or_else(|_| start("valkey-server"));
        let child = child.expect("redis-server or valkey-server is installed: make prove does that");
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(dir.join("redis.sock")).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "Redis does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.dir.path().join("redis.sock").display())
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_file(self.dir.path().join("redis.sock")).unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = Self::spawn(self.dir.path());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that runs in a round. Fields are dropped in the order of their declaration.
pub(crate) struct Stage<'a> {
    pub(crate) instances: [Mutex<Instance>; 2],
    /// Of each instance.
    pub(crate) urls: [String; 2],
    pub(crate) wires: [Wire; 2],
    pub(crate) redis: Option<Mutex<Redis>>,
    pub(crate) provider: Provider,
    pub(crate) ground: &'a Ground,
    pub(crate) database: String,
    /// By how many seconds everybody's clock is ahead.
    seconds: Arc<AtomicI64>,
    pub(crate) customers: Vec<Person>,
    /// An owner, a manager, a cashier and a cook.
    pub(crate) staff: Vec<Person>,
    dir: TempDir,
}

/// Who sends requests.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) token: String,
}

impl<'a> Stage<'a> {
    pub(crate) fn set(ground: &'a mut Ground, plan: &Plan) -> Self {
        let mut admin = ground.connect("postgres");
        // Hours of rounds would fill any disk.
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS round_{} WITH (FORCE)", ground.rounds)).unwrap();
        ground.rounds += 1;
        let database = format!("round_{}", ground.rounds);
        admin.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template")).unwrap();
        let (customers, staff) = furnish(&mut ground.connect(&database), plan);

        let dir = tempfile::Builder::new().prefix("rowlock-prove-").tempdir().unwrap();
        let server = socket_of(&ground.cluster);
        let wires = [0, 1].map(|at| Wire::lay(&dir.path().join(format!("wire-{at}")), server.clone()));
        let ports = [free_port(), free_port()];
        let urls = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let seconds: Arc<AtomicI64> = Arc::default();
        let clock = Clock::Wrong(Arc::clone(&seconds));
        let provider = Provider::start(urls.clone(), SECRET, TIMEOUT_MS, dir.path(), clock, plan.seed);
        let redis = plan.has_redis.then(Redis::start);
        let start = |at: usize| {
            let log = log_of(dir.path(), at);
            let mut variables = variables(&wires[at].url_of(&database), &provider.url, plan);
            variables.extend(redis.as_ref().map(|redis| ("REDIS_URL".to_owned(), redis.url())));
            let mut instance = Instance::new(ports[at], variables, log);
            instance.start();
            Mutex::new(instance)
        };
        let instances = [start(0), start(1)];
        let redis = redis.map(Mutex::new);
        Self { instances, urls, wires, redis, provider, ground, database, seconds, customers, staff, dir }
    }

    /// A connection to the database, past every wire.
    pub(crate) fn connect(&self) -> PgConnection {
        self.ground.connect(&self.database)
    }

    /// How far ahead everybody's clock is, in seconds.
    pub(crate) fn seconds(&self) -> i64 {
        self.seconds.load(Ordering::Relaxed)
    }

    /// Lets time pass, for all.
    pub(crate) fn advance(&self, seconds: i64) {
        let now = self.seconds.fetch_add(seconds, Ordering::Relaxed) + seconds;
        for instance in &self.instances {
            instance.lock().unwrap().set_clock(now);
        }
    }

    /// What an instance has logged, for whoever looks for the cause.
    pub(crate) fn log(&self, at: usize) -> String {
        fs::read_to_string(log_of(self.dir.path(), at)).unwrap_or_default()
    }
}

fn log_of(dir: &Path, at: usize) -> PathBuf {
    dir.join(format!("instance-{at}.log"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The socket that the cluster's URL names.
fn socket_of(cluster: &Cluster) -> PathBuf {
    let url = cluster.url();
    let host = url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).unwrap().0;
    let host = percent_encoding::percent_decode_str(host).decode_utf8().unwrap();
    Path::new(host.as_ref()).join(".s.PGSQL.5432")
}

fn variables(database: &str, provider: &str, plan: &Plan) -> Vec<(String, String)> {
    let timeout_ms = TIMEOUT_MS.to_string();
    let all = [
        ("DATABASE_URL", database),
        ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET),
        ("ROWLOCK_AUTH_TOKEN_HOURS", "8760"),
        ("ROWLOCK_GATEWAYS_PUBLIC_URL", provider),
        ("ROWLOCK_GATEWAYS_TIMEOUT_MS", &timeout_ms),
        ("ROWLOCK_GATEWAYS_IN_FLIGHT_MAX", "256"),
        ("ROWLOCK_GATEWAYS_CHECK_AFTER_MS", "2000"),
        ("ROWLOCK_GATEWAYS_CHECK_MAX_MS", "60000"),
        ("ROWLOCK_GATEWAYS_LEASE_MS", "2000"),
        ("ROWLOCK_PLACEMENT_LOCKING", plan.locking),
        ("ROWLOCK_PLACEMENT_ANSWER_TIMEOUT_MS", "3000"),
        ("ROWLOCK_DATABASE_POOL_SIZE", "12"),
        ("ROWLOCK_DATABASE_CONNECT_TIMEOUT_MS", "1000"),
        ("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "500"),
        ("ROWLOCK_DATABASE_STATEMENT_TIMEOUT_MS", "2000"),
        ("ROWLOCK_JOBS_INTERVAL_MS", "100"),
        ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "0"),
        ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND", "100000"),
        ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "100000"),
        ("ROWLOCK_HTTP_STAFF_REQUESTS_PER_SECOND", "100000"),
        ("ROWLOCK_LOG_FILTER", "warn,actix_server=error,actix_http=off"),
    ];
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A restaurant with little stock, points and votes, whose settings differ by the seed; its customers and its staff.
fn furnish(conn: &mut PgConnection, plan: &Plan) -> (Vec<Person>, Vec<Person>) {
    let (auto, timeout) = (plan.seed.is_multiple_of(3), if plan.seed.is_multiple_of(2) { "accept" } else { "reject" });
    conn.batch_execute(&format!(
        "INSERT INTO merchants (id, name_zh, name_en, time_zone, minimum_amount, freight, free_freight_from, created_at, day_starts_at,
                 points_per_yuan, auto_accept, accept_timeout)
             VALUES (1, '店', 'Shop', 'Asia/Shanghai', 0, 5, 100, '2026-01-01Z', '04:00', 100, {auto}, '{timeout}');
         INSERT INTO categories (merchant_id, id, name_zh, name_en, position) VALUES (1, 1, '菜', 'Dishes', 1);
         INSERT INTO products (merchant_id, id, category_id, name_zh, name_en, position) VALUES (1, 1, 1, '饺子', 'Dumplings', 1);
         INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, on_sale, position)
             SELECT 1, id, 1, '例', 'Regular', id * 10 - 0.1, {STOCK}, true, id FROM generate_series(1, {GOODS}) id;
         UPDATE goods SET grant_kind = 'votes', grant_per_unit = {VOTES} WHERE id = 4;
         INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
             SELECT 1, gen_random_uuid(), id, stock, 'opening', 'test', '2026-01-01Z' FROM goods"
    ))
    .unwrap();
    let tokens = Tokens::new(SECRET.as_bytes(), 8760);
    let (now, merchant) = (Utc::now(), MerchantId(1));
    let customer = |number: usize| {
        let id = Uuid::now_v7();
        conn.batch_execute(&format!(
            "INSERT INTO customers (merchant_id, id, provider, subject, created_at)
                 VALUES (1, '{id}', 'sandbox', 'customer-{number}', '2026-01-01Z');
             INSERT INTO accounts (merchant_id, id, kind, customer_id, balance, created_at)
                 VALUES (1, '{id}', 'points', '{id}', {POINTS}, '2026-01-01Z');
             INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
                 VALUES (1, '{id}', 'correction gift', {POINTS}, {POINTS}, 'test', '2026-01-01Z')"
        ))
        .unwrap();
        Person { id, token: tokens.issue(merchant, CustomerId(id), now).unwrap().0 }
    };
    let customers = (0..plan.customers).map(customer).collect();
    let member = |role: Role| {
        let (id, tokens_from) = (Uuid::now_v7(), "2026-01-01T00:00:00Z".parse().unwrap());
        conn.batch_execute(&format!(
            "INSERT INTO staff (merchant_id, id, login, name, password_hash, role, tokens_from, created_at)
                 VALUES (1, '{id}', '{role}', 'The {role}', 'none', '{role}', '{tokens_from}', '2026-01-01Z')"
        ))
        .unwrap();
        let (login, name) = (role.to_string(), role.to_string());
        let member =
            Member { id: StaffId(id), login, name, role, is_active: true, tokens_from, created_at: tokens_from };
        Person { id, token: tokens.issue_staff(merchant, &member, now).unwrap().0 }
    };
    (customers, Role::ALL.iter().copied().map(member).collect())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The rows that `sql` selects.
pub(crate) fn rows<T: DeserializeOwned>(conn: &mut PgConnection, sql: &str) -> Vec<T> {
    let rows = diesel::sql_query(format!("SELECT to_json(found)::text AS value FROM ({sql}) found")).load::<Row>(conn);
    rows.unwrap().into_iter().map(|row| serde_json::from_str(&row.value).unwrap()).collect()
}
