//! What the measuring happens on: a private PostgreSQL cluster, seeded, and services on it.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use rowlock::clock::Clock;
use rowlock::domain::{CustomerId, MerchantId};
use rowlock::embedded_pg::{Cluster, Options};
use rowlock::http::auth::Tokens;
use rowlock::store::{self, audit, migrations};
use tempfile::TempDir;
use uuid::Uuid;

use crate::machine::Machine;
use crate::numbers::Measured;
use crate::plan::{Cell, Load, System};
use crate::processes::Stop;
use crate::service::{Address, Service, TOKEN_SECRET};
use crate::wrk::{self, Run, Said};
use crate::{Result, pgbench};

const SEED: &str = include_str!("seed.sql");

/// Everything that runs while the benchmark does. Dropping it stops the services first, then the cluster, and removes all
/// files: fields go in the order of their declaration.
pub(crate) struct Stage {
    services: Vec<(System, Service)>,
    database: Database,
    dir: TempDir,
    stop: Stop,
    /// Cells measured so far, warm-ups included.
    number: usize,
    rss_kb: Option<u64>,
}

impl Stage {
    /// With services of these kinds.
    pub(crate) fn set(stop: Stop, systems: &[System]) -> Result<Self> {
        // Not the system's folder for such: that may be memory, where fsync costs nothing.
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        // The server runs as another user when this process is root's.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        println!("Starts PostgreSQL and the service ({} of it), and seeds 11,002 goods", systems.len());
        let database = Database::start(dir.path().to_owned())?;
        let mut conn = database.connect()?;
        migrations::run(&mut conn)?;
        conn.batch_execute(SEED)?;
        conn.batch_execute("VACUUM ANALYZE")?;
        let customers = |merchant, count| (1..=count).map(move |k| (merchant, merchant * 10_000 + k));
        fs::write(dir.path().join("tokens-one"), tokens(customers(1, 1_000))?)?;
        fs::write(dir.path().join("tokens-many"), tokens((2..=501).flat_map(|merchant| customers(merchant, 4)))?)?;
        let start = |system| Ok((system, Service::start(system, &database.url(), dir.path(), &stop)?));
        let services = systems.iter().copied().map(start).collect::<Result<_>>()?;
        Ok(Self { services, database, dir, stop, number: 0, rss_kb: None })
    }

    /// Measures a cell once.
    pub(crate) fn measure(&mut self, cell: &Cell, seconds: u32) -> Result<Measured> {
        self.stop.check()?;
        self.number += 1;
        // What one cell leaves to be written is not paid by the next.
        self.database.connect()?.batch_execute("CHECKPOINT")?;
        let (number, dir, stop) = (self.number, self.dir.path(), &self.stop);
        let Some((_, service)) = self.services.iter().find(|(system, _)| *system == cell.system) else {
            let (url, bin_dir) = (self.database.url(), self.database.cluster.bin_dir());
            return pgbench::measure(cell, number, seconds, &url, bin_dir, dir, stop);
        };
        let service = service.address();
        let asked = Run { cell: *cell, number, seconds, pause_ms: 0 };
        let measured = wrk::measure(&asked, service, &self.tokens(cell.load), dir, stop)?;
        if cell.system == System::Groups {
            self.rss_kb = self.rss_kb.max(service.rss_kb());
        }
        Ok(measured)
    }

    /// Sends the load of a cell, whatever is answered. Each client waits `pause_ms` before it asks again.
    pub(crate) fn flood(&mut self, cell: Cell, seconds: u32, pause_ms: u32) -> Result<Said> {
        self.number += 1;
        let (service, tokens) = (self.address(cell.system)?, self.tokens(cell.load));
        let asked = Run { cell, number: self.number, seconds, pause_ms };
        wrk::send(&asked, &service, &tokens, self.dir.path(), &self.stop)
    }

    /// Where the service of that kind is to be found.
    pub(crate) fn address(&self, system: System) -> Result<Address> {
        let service = self.services.iter().find(|(kind, _)| *kind == system);
        Ok(service.ok_or("there is no such service")?.1.address().clone())
    }

    /// The file with the tokens of a load's customers.
    pub(crate) fn tokens(&self, load: Load) -> PathBuf {
        self.dir.path().join(if load == Load::Many { "tokens-many" } else { "tokens-one" })
    }

    /// The most memory the default service was seen with.
    pub(crate) fn rss_kb(&self) -> Option<u64> {
        self.rss_kb
    }

    pub(crate) fn analyze(&self) -> Result<()> {
        Ok(self.database.connect()?.batch_execute("ANALYZE")?)
    }

    /// The broken promises, a line each.
    pub(crate) fn audit(&self) -> Result<Vec<String>> {
        let line = |check: &audit::Check, found: audit::Violation| {
            format!("{}: merchant {} {}: {}", check.name, found.merchant_id, found.item, found.finding)
        };
        let found = audit::run(&mut self.database.connect()?)?;
        Ok(found.into_iter().flat_map(|(check, found)| found.into_iter().map(move |one| line(check, one))).collect())
    }

    pub(crate) fn machine(&self) -> Result<Machine> {
        #[derive(QueryableByName)]
        struct Version {
            #[diesel(sql_type = Text)]
            version: String,
        }
        let show = diesel::sql_query("SELECT current_setting('server_version') AS version");
        Ok(Machine::this(show.get_result::<Version>(&mut self.database.connect()?)?.version))
    }
}

/// A line `<merchant> <token>` for every customer.
fn tokens(customers: impl Iterator<Item = (i64, i64)>) -> Result<String> {
    let (tokens, now) = (Tokens::new(TOKEN_SECRET.as_bytes(), 24), Clock::System.now());
    let mut lines = String::new();
    for (merchant, number) in customers {
        let customer = CustomerId(Uuid::parse_str(&format!("{number:032}"))?);
        let (token, _) = tokens.issue(MerchantId(merchant), customer, now)?;
        writeln!(lines, "{merchant} {token}")?;
    }
    Ok(lines)
}

/// The cluster, which leaves nothing behind.
struct Database {
    cluster: Cluster,
    /// Declared after the cluster, so that it goes when the server has stopped.
    _files: Files,
}

impl Database {
    fn start(data_dir: PathBuf) -> Result<Self> {
        let settings = ["max_connections=300", "autovacuum_naptime=5s"].map(str::to_owned).to_vec();
        let cluster = Cluster::start(&Options { data_dir, user: "postgres".into(), settings, ..Options::default() })?;
        let files = Files(cluster.dir().to_owned());
        Ok(Self { cluster, _files: files })
    }

    fn url(&self) -> String {
        self.cluster.url()
    }

    fn connect(&self) -> Result<store::Conn> {
        Ok(store::connect(&self.url())?)
    }
}

/// The cluster's files, which may be elsewhere than in the folder it was given.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: cannot remove {}: {error}", self.0.display());
        }
        // Only when it is empty: a folder that was made for the cluster alone.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}
