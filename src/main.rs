//! The `rowlock` command.
//!
//! `serve` binds its port first, then brings up PostgreSQL (a private cluster, unless a `database.url` is given), then
//! answers. SIGTERM and Ctrl-C stop it in the opposite order: no new requests, the accepted ones finished, then the
//! cluster. A second signal does not wait for the accepted ones. Whatever fails is one sentence on standard error and a
//! non-zero exit.

/// Prints a line. Whoever closes the pipe has seen enough.
macro_rules! say {
    ($($arguments:tt)*) => {
        let _ = writeln!(std::io::stdout(), $($arguments)*);
    };
}

mod commands;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand};
use rowlock::clock::Clock;
use rowlock::config::{Config, LoginProvider};
use rowlock::domain::MerchantId;
use rowlock::domain::staff::Role;
use rowlock::embedded_pg::{Cluster, ClusterError, Options};
use rowlock::error::Error;
use rowlock::store::{self, merchants, migrations};
use rowlock::{App, Parts, gateway, http, service};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::{oneshot, watch};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Places orders under row locks: never oversold, never lost, never twice.
#[derive(Parser)]
#[command(version, about, after_help = AFTER_HELP)]
struct Cli {
    /// A TOML file whose keys replace those of the built-in config/default.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Environment:
  DATABASE_URL              The PostgreSQL to use; without it, a private cluster in ./data
  REDIS_URL                 The Redis to keep carts and leases in; without it, PostgreSQL keeps them
  ROWLOCK_<SECTION>_<KEY>   Replaces one key of the configuration: ROWLOCK_HTTP_PORT=9000

Examples:
  rowlock serve                      A demo restaurant on http://localhost:8080
  DATABASE_URL=postgres://rowlock@db/rowlock ROWLOCK_AUTH_TOKEN_SECRET=… rowlock serve
  rowlock merchant --name 老王面馆 --name-en \"Wang's Noodles\"   A restaurant of your own
  rowlock staff --merchant 1 --login owner --role owner   Its first owner
  rowlock audit && echo consistent   Hold every promise against the database
  pg_dump -Fc -f rowlock.dump \"$(rowlock database-url)\"   A backup, while it serves
  rowlock reconcile --date 2026-11-20 --merchant 1 --gateway wechat --bill FILE";

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API until SIGTERM or Ctrl-C.
    ///
    /// Without DATABASE_URL a private PostgreSQL cluster is started first and stopped last; on its first start it is
    /// filled with a demo restaurant.
    Serve,
    /// Run the migrations that the database lacks.
    Migrate,
    /// Add a restaurant to try things with: 40 dishes, or a large one.
    Seed {
        /// Make a restaurant with this many goods, 1 to 1000000, instead of the demo.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        goods: Option<u32>,
    },
    /// Add a restaurant of your own: always open, without freight, minimum, staff and dishes.
    ///
    /// Prints its number. The rest is for its owner, whom `rowlock staff` adds, in the panel or by the API.
    Merchant(commands::NewMerchant),
    /// Add a member of a merchant's staff, such as its first owner, or give one another password.
    ///
    /// Prints a password that it makes up, unless one is given on standard input. Whoever logs in by that name already
    /// gets the password and the role, and may log in again.
    Staff {
        /// The merchant, by its number.
        #[arg(long, value_name = "ID")]
        merchant: i64,
        /// What they log in with.
        #[arg(long, value_name = "NAME")]
        login: String,
        /// What they may do: owner, manager, cashier or kitchen.
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// Read the password, one line, from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Hold the promises against the database, in one snapshot; name each row that breaks one.
    ///
    /// Exits 0 when there is none, 1 when there are some, 2 when the audit itself could not run. Safe under load.
    Audit,
    /// Hold a provider's bill of a day against the books; list each payment and refund that differs.
    ///
    /// Exits 0 when nothing differs, 1 when something does, 2 when the bill or the database could not be read. Changes nothing.
    Reconcile(commands::Reconcile),
    /// Print the URL of the database, password and all: for pg_dump, psql and their kin.
    ///
    /// Without DATABASE_URL it is that of the private cluster, which is there while a service runs.
    DatabaseUrl,
    /// Print the OpenAPI document.
    Openapi,
    /// Check the configuration and print it, without secrets.
    CheckConfig,
}

/// What ends the command early: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl Failure {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("rowlock: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    if matches!(cli.command, Command::Openapi) {
        say!("{}", http::openapi().to_pretty_json().map_err(Failure::of)?);
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(cli.config.as_deref()).map_err(Failure::of)?;
    env_logger::Builder::new().parse_filters(&config.log.filter).init();
    if matches!(cli.command, Command::CheckConfig) {
        config.token_secret().map_err(Failure::of)?;
        gateway::check(&config).map_err(Failure)?;
        say!("{config:#?}");
        return Ok(ExitCode::SUCCESS);
    }
    let stop = Stop::listen()?;
    match &cli.command {
        Command::Serve => serve(config, stop),
        Command::Migrate => migrate(&config, &stop),
        Command::Seed { goods } => seed(&config, *goods, &stop),
        Command::Merchant(wanted) => commands::merchant(&config, wanted, &stop),
        Command::Staff { merchant, login, role, password_stdin } => {
            commands::staff(&config, MerchantId(*merchant), login, *role, *password_stdin, &stop)
        }
        Command::Audit => commands::audit(&config, &stop),
        Command::Reconcile(wanted) => commands::reconcile(&config, wanted, &stop),
        Command::DatabaseUrl => commands::database_url(&config),
        Command::CheckConfig | Command::Openapi => unreachable!("needs no database"),
    }
}

/// How many signals have asked to stop.
struct Stop(watch::Receiver<u32>);

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::of)?;
        let (sender, receiver) = watch::channel(0);
        std::thread::spawn(move || {
            for _ in signals.forever() {
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(receiver))
    }

    /// Goes on only if nobody has asked to stop: between steps that would otherwise leave something behind.
    fn check(&self) -> Result<(), Failure> {
        if *self.0.borrow() == 0 { Ok(()) } else { Err(Failure("stopped by a signal".to_owned())) }
    }

    /// Waits for the signal of that number.
    async fn signal(&mut self, number: u32) {
        // The sender lives as long as the process.
        let _ = self.0.wait_for(|count| *count >= number).await;
    }
}

/// A database, and the private cluster it is in, if any.
struct Database {
    url: String,
    /// Stops the server when dropped.
    cluster: Option<Arc<Cluster>>,
}

impl Database {
    /// The configured server, or the private cluster, which this process then owns.
    fn own(config: &Config) -> Result<Self, ClusterError> {
        if config.database.url.is_empty() {
            let cluster = Cluster::start(&options(config))?;
            Ok(Self { url: cluster.url(), cluster: Some(Arc::new(cluster)) })
        } else {
            Ok(Self { url: config.database.url.expose().to_owned(), cluster: None })
        }
    }

    /// As [`Database::own`], or the private cluster of a service that is running.
    fn join(config: &Config) -> Result<Self, Failure> {
        match Self::own(config) {
            Err(ClusterError::InUse(_)) => {
                let url = Cluster::url_in(&options(config)).map_err(Failure::of)?;
                Ok(Self { url, cluster: None })
            }
            other => other.map_err(Failure::of),
        }
    }
}

fn options(config: &Config) -> Options {
    Options {
        data_dir: config.data.dir.clone(),
        bin_dir: config.embedded_pg.bin_dir.clone(),
        user: config.embedded_pg.user.clone(),
        settings: vec![
            format!("max_connections={}", config.database.pool_size as usize + config.placement.lanes_max + 20),
            // The engine's statements, which somebody may look for, are longer than a kibibyte.
            "track_activity_query_size=4kB".to_owned(),
            // Plans that were made while the tables were empty are bad ones, and are kept until statistics come in:
            // after five seconds of a new cluster's life, not after a minute.
            "autovacuum_naptime=5s".to_owned(),
        ],
    }
}

fn serve(config: Config, mut stop: Stop) -> Result<ExitCode, Failure> {
    config.token_secret().map_err(Failure::of)?;
    let address = (config.http.bind, config.http.port);
    let listener = TcpListener::bind(address)
        .map_err(|error| Failure(format!("cannot listen on {}:{}: {error}", address.0, address.1)))?;
    let database = Database::own(&config).map_err(Failure::of)?;
    stop.check()?;
    // A name that the world knows it by: there is a proxy in front.
    let is_reached = !config.http.bind.is_loopback() || !config.gateways.public_url.is_empty();
    let is_for_real = database.cluster.is_none() || is_reached;
    if config.login.provider == LoginProvider::Sandbox && is_for_real {
        log::warn!("login.provider is the sandbox: whoever reaches this service can be any customer");
    }
    if config.gateways.sandbox && is_for_real {
        log::warn!("gateways.sandbox is on: whoever reaches this service can pay without money");
    }
    prepare(&config, &database)?;
    stop.check()?;
    let secret = token_secret(&config)?;
    actix_web::rt::System::new().block_on(async {
        // Nothing is kept in the folder but what belongs to the private cluster, which only one process can have.
        let sandbox_file = database.cluster.is_some().then(|| config.data.dir.join("sandbox.jsonl"));
        let parts = Parts { sandbox_file, ..Parts::default() };
        let app = Data::new(App::new(config, &database.url, &secret, parts).map_err(Failure::of)?);
        let server = http::serve(app.clone(), listener).map_err(Failure::of)?;
        let handle = server.handle();
        if database.cluster.is_some() {
            tell_of_demo(&app, address.1);
        }
        log::info!("Serves http://{}:{} (documentation under /docs)", address.0, address.1);
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return ended.map_err(Failure::of),
            failure = keep_alive(database.cluster.clone()) => return Err(failure),
            () = stop.signal(1) => log::info!("Finishes what was accepted, then stops"),
        }
        app.events.end_streams();
        drop(handle.stop(true));
        let stopped = async {
            server.await.map_err(Failure::of)?;
            end_threads(&app).await;
            Ok(())
        };
        tokio::select! {
            stopped = stopped => stopped,
            () = stop.signal(2) => {
                log::warn!("Stops at once");
                // Whoever drops it waits for its threads, and they may wait for somebody's locks, or for a gateway.
                std::mem::forget(app);
                Ok(())
            }
        }
    })?;
    if let Some(cluster) = database.cluster {
        log::info!("Stops the private PostgreSQL");
        drop(cluster);
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets the threads behind the server finish what they are at.
async fn end_threads(app: &Data<App>) {
    let (app, (sender, ended)) = (app.clone(), oneshot::channel());
    // Not one of the runtime's own, which waits for them however often it is asked to stop.
    std::thread::spawn(move || {
        app.engine.stop();
        app.events.stop();
        app.jobs.stop();
        app.webhooks.stop();
        let _ = sender.send(());
    });
    // An error is a panic, which has been told.
    let _ = ended.await;
}

/// Starts the private PostgreSQL again should it die; ends only when that fails.
async fn keep_alive(cluster: Option<Arc<Cluster>>) -> Failure {
    let Some(cluster) = cluster else { return std::future::pending().await };
    loop {
        actix_web::rt::time::sleep(Duration::from_secs(1)).await;
        if cluster.is_alive() {
            continue;
        }
        log::error!("The private PostgreSQL has died; starts it again");
        let cluster = Arc::clone(&cluster);
        match actix_web::rt::task::spawn_blocking(move || cluster.up()).await {
            Ok(Ok(())) => log::info!("The private PostgreSQL is back"),
            Ok(Err(error)) => return Failure::of(error),
            Err(error) => return Failure::of(error),
        }
    }
}

/// Says where to begin, as long as the demo restaurant is as it was delivered.
fn tell_of_demo(app: &App, port: u16) {
    let (demo, login) = (MerchantId(1), "owner");
    if service::staff::log_in(&app.store, demo, login, service::demo::PASSWORD).is_err() {
        return;
    }
    log::info!("The restaurant's panel: http://localhost:{port}/admin/");
    log::info!("A customer's page, to place an order with: http://localhost:{port}/demo");
    log::warn!(
        "The demo's staff (owner, manager, cashier, kitchen) log in with the password {:?}: change it before anybody else \
         reaches this service",
        service::demo::PASSWORD
    );
}

/// Brings the database up to date; the private one also gets its demo restaurant, whose passwords everybody knows: not where customers
/// are real.
fn prepare(config: &Config, database: &Database) -> Result<(), Failure> {
    let is_private = database.cluster.is_some();
    let mut conn = store::connect(&database.url).map_err(unreachable_database)?;
    if config.database.migrate_at_start || is_private {
        for name in migrations::run(&mut conn).map_err(Failure::of)? {
            log::info!("Ran migration {name}");
        }
    }
    require_migrated(&mut conn)?;
    let is_demo = is_private && config.login.provider == LoginProvider::Sandbox;
    if is_demo && !merchants::any(&mut conn).map_err(Failure::of)? {
        let id = add_merchant(config, &database.url, |store, now| service::demo::seed_restaurant(store, true, now))?;
        log::info!("Added the demo restaurant: merchant {id}");
    }
    Ok(())
}

fn require_migrated(conn: &mut store::Conn) -> Result<(), Failure> {
    match migrations::pending(conn).map_err(Failure::of)? {
        0 => Ok(()),
        pending => Err(Failure(format!("the database lacks {pending} migrations: run `rowlock migrate`"))),
    }
}

fn unreachable_database(error: store::Unavailable) -> Failure {
    Failure(format!("cannot reach the database: {error}"))
}

fn add_merchant(
    config: &Config,
    url: &str,
    add: impl FnOnce(&store::Store, DateTime<Utc>) -> Result<MerchantId, Error>,
) -> Result<MerchantId, Failure> {
    let store = store::Store::connect(url, &config.database, Arc::default()).map_err(unreachable_database)?;
    add(&store, Clock::System.now()).map_err(Failure::of)
}

/// The configured secret, or the one that the first start put into the data directory.
fn token_secret(config: &Config) -> Result<Vec<u8>, Failure> {
    if let Some(secret) = config.token_secret().map_err(Failure::of)? {
        return Ok(secret.to_vec());
    }
    let path = config.data.dir.join("token_secret");
    if !path.exists() {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| Failure("the system gives no random bytes".to_owned()))?;
        write_secret(&path, &secret).map_err(|error| Failure(format!("cannot write {}: {error}", path.display())))?;
    }
    let secret = fs::read(&path).map_err(|error| Failure(format!("cannot read {}: {error}", path.display())))?;
    if secret.len() < 32 {
        return Err(Failure(format!("{} has fewer than 32 bytes: remove it to have a new one made", path.display())));
    }
    Ok(secret)
}

/// Writes beside the place and moves it there, so that a crash leaves no half of a secret.
fn write_secret(path: &Path, secret: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn migrate(config: &Config, stop: &Stop) -> Result<ExitCode, Failure> {
    let database = Database::join(config)?;
    stop.check()?;
    let mut conn = store::connect(&database.url).map_err(unreachable_database)?;
    let ran = migrations::run(&mut conn).map_err(Failure::of)?;
    for name in &ran {
        say!("ran {name}");
    }
    say!("{} of {} migrations were missing; the database is up to date", ran.len(), migrations::count());
    Ok(ExitCode::SUCCESS)
}

fn seed(config: &Config, goods: Option<u32>, stop: &Stop) -> Result<ExitCode, Failure> {
    let database = Database::join(config)?;
    stop.check()?;
    let mut conn = store::connect(&database.url).map_err(unreachable_database)?;
    migrations::run(&mut conn).map_err(Failure::of)?;
    drop(conn);
    let id = add_merchant(config, &database.url, |store, now| match goods {
        None => service::demo::seed_restaurant(store, false, now),
        Some(count) => service::demo::seed_large(store, count, now),
    })?;
    say_added(id);
    Ok(ExitCode::SUCCESS)
}

/// Prints which merchant was added, and tells the next step.
fn say_added(id: MerchantId) {
    say!("added merchant {id}");
    log::info!("It has no staff: rowlock staff --merchant {id} --login owner --role owner adds its owner");
}
