//! A private PostgreSQL cluster for the default run and for tests.
//!
//! Contract: one process owns the cluster of a data directory, by a lock on a file beside it; the owner starts and stops the server. The
//! server listens on a unix socket that only its user (and root) can reach. Whatever a crash left behind, a half-made
//! cluster, an orphaned server, a stale pid file, the next start clears up.

mod place;
mod processes;
mod programs;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use self::place::{absolute, is_anywhere, is_made, place, socket_dir, version_of};
use self::processes::{is_corpse, postmaster, works_in};
use self::programs::{Programs, words};

/// The superuser of the cluster and the name of its database.
const NAME: &str = "rowlock";
/// Recovery after a crash may take long; a server that cannot start says so at once.
const START_SECONDS: &str = "600";
/// Reading an archive may take as long.
const RECOVERY_MAX: Duration = Duration::from_secs(600);
const STOP_SECONDS: &str = "60";
/// How long the backends of a server that was killed may take to notice.
const LINGER: Duration = Duration::from_secs(10);

/// Why there is no cluster: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Another process owns it.
    #[error("another rowlock is using {0}")]
    InUse(PathBuf),
    /// It cannot be made or started.
    #[error("{0}")]
    Failed(String),
}

impl ClusterError {
    fn io(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("cannot {what} {}", path.display());
        move |error| Self::Failed(format!("{what}: {error}"))
    }
}

/// What a cluster is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder it lives in; made when missing.
    pub data_dir: PathBuf,
    /// Folder with the server's programs; empty to look for them.
    pub bin_dir: PathBuf,
    /// Who runs the server when this process is root's.
    pub user: String,
    /// Server settings, as `name=value`.
    pub settings: Vec<String>,
}

/// A running cluster that this process owns. Dropping it stops the server.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    dir: PathBuf,
    socket_dir: PathBuf,
    settings: Vec<String>,
    /// Held as long as the cluster is owned.
    _lock: File,
}

impl Cluster {
    /// Starts the cluster of `options.data_dir`, making it first where there is none.
    ///
    /// # Errors
    /// One sentence: PostgreSQL is missing, the folder is in use or cannot be written, the server does not come up.
    pub fn start(options: &Options) -> Result<Self, ClusterError> {
        let data_dir = absolute(&options.data_dir)?;
        fs::create_dir_all(&data_dir).map_err(ClusterError::io("make", &data_dir))?;
        let lock = own(&data_dir)?;
        let (dir, account) = place(&data_dir, &options.user)?;
        let programs = Programs::find(&options.bin_dir, version_of(&dir), account)?;
        let socket_dir = socket_dir(&dir, programs.account.as_ref())?;
        if !is_made(&dir) {
            programs.init(&dir)?;
        }
        let cluster = Self { programs, dir, socket_dir, settings: options.settings.clone(), _lock: lock };
        if cluster.is_alive() {
            log::warn!("Stops a PostgreSQL that an earlier run left behind");
            cluster.stop()?;
        }
        let goes_back = cluster.dir.join("recovery.signal").exists();
        cluster.up()?;
        if goes_back {
            cluster.until_recovered()?;
        }
        cluster.programs.create_database(&cluster.socket_dir)?;
        Ok(cluster)
    }

    /// Whether the server runs.
    pub fn is_alive(&self) -> bool {
        postmaster(&self.dir).is_some()
    }

    fn stop(&self) -> Result<(), ClusterError> {
        // pg_ctl believes the pid file, and after a crash that number may be somebody else's.
        if !self.is_alive() {
            return Ok(());
        }
        let mut stop = self.programs.command("pg_ctl");
        stop.args(["stop", "-w", "-s", "-m", "fast", "-t", STOP_SECONDS, "-D"]).arg(&self.dir);
        let stopped = self.programs.run("pg_ctl", &mut stop)?;
        if stopped.status.success() || !self.is_alive() {
            return Ok(());
        }
        Err(ClusterError::Failed(format!("PostgreSQL does not stop: {}", words(&stopped.stderr))))
    }

    /// Removes the lock files of a server that has died. PostgreSQL itself leaves them alone when the process id in them is taken, be it by
    /// a stranger or by a dead process that nobody has waited for. They may go only when nothing of that server is left, for its backends
    /// could still write. Where we cannot see that, they stay, unless they name a dead process, and PostgreSQL decides, also by its shared
    /// memory.
    fn clear_up(&self) -> Result<(), ClusterError> {
        let begun = Instant::now();
        loop {
            match works_in(&self.dir) {
                None if !is_corpse(&self.dir) => return Ok(()),
                None | Some(0) => break,
                Some(left) if begun.elapsed() > LINGER => {
                    let dir = self.dir.display();
                    return Err(ClusterError::Failed(format!(
                        "{left} processes of a dead PostgreSQL still work in {dir}"
                    )));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        for stale in [self.dir.join("postmaster.pid"), self.socket_dir.join(".s.PGSQL.5432.lock")] {
            match fs::remove_file(&stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ClusterError::io("remove", &stale)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Starts the server: for the first time, or again after something else than this process has stopped it.
    ///
    /// # Errors
    /// One sentence with the server's own words.
    pub fn up(&self) -> Result<(), ClusterError> {
        self.clear_up()?;
        let log = self.dir.join("server.log");
        let mut server =
            format!("-c port=5432 -c listen_addresses='' -c unix_socket_directories='{}'", self.socket_dir.display());
        for setting in &self.settings {
            server.push_str(&format!(" -c {setting}"));
        }
        let begun = Instant::now();
        loop {
            let said = fs::metadata(&log).map_or(0, |log| log.len());
            let mut start = self.programs.command("pg_ctl");
            start.args(["start", "-w", "-s", "-t", START_SECONDS, "-o", &server, "-D"]).arg(&self.dir);
            // The server inherits what is open here and outlives it: it must get no pipe that somebody reads to its end.
            start.arg("-l").arg(&log).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let status = start.status().map_err(ClusterError::io("run", &self.programs.bin_dir.join("pg_ctl")))?;
            if status.success() {
                return Ok(());
            }
            // Backends of a server that was killed hold its shared memory for a moment longer.
            let words = last_words(&log, said);
            if !words.contains("shared memory") || begun.elapsed() > LINGER {
                return Err(ClusterError::Failed(format!(
                    "PostgreSQL does not start: {words} (see {})",
                    log.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a backup that was put in the cluster's place is recovered up to the moment that somebody has set: until then the server
    /// answers, and takes nothing.
    fn until_recovered(&self) -> Result<(), ClusterError> {
        log::info!("PostgreSQL recovers a backup");
        let begun = Instant::now();
        while !self.programs.is_recovered(&self.socket_dir)? {
            let log = self.dir.join("server.log");
            if !self.is_alive() {
                return Err(ClusterError::Failed(format!("PostgreSQL does not recover (see {})", log.display())));
            }
            if begun.elapsed() > RECOVERY_MAX {
                let log = log.display();
                return Err(ClusterError::Failed(format!(
                    "PostgreSQL does not come to the end of its recovery (see {log})"
                )));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The URL of the cluster's database.
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    /// The URL of another database of the cluster.
    pub fn url_of(&self, database: &str) -> String {
        url(&self.socket_dir, database)
    }

    /// Folder of the server's programs.
    pub fn bin_dir(&self) -> &Path {
        &self.programs.bin_dir
    }

    /// The server's data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is a cluster in `options.data_dir`, running or not.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn exists(options: &Options) -> Result<bool, ClusterError> {
        Ok(is_anywhere(&absolute(&options.data_dir)?))
    }

    /// The URL of the cluster in `options.data_dir` that another process owns.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn url_in(options: &Options) -> Result<String, ClusterError> {
        let (dir, account) = place(&absolute(&options.data_dir)?, &options.user)?;
        Ok(url(&socket_dir(&dir, account.as_ref())?, NAME))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            log::error!("{error}");
        }
        if self.socket_dir != self.dir {
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }
}

fn url(socket_dir: &Path, database: &str) -> String {
    const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    let host = percent_encode(socket_dir.as_os_str().as_encoded_bytes(), QUOTED);
    format!("postgres://{NAME}@{host}/{database}?port=5432")
}

/// Takes the lock on the data directory. It goes with the process, however that ends.
fn own(data_dir: &Path) -> Result<File, ClusterError> {
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(ClusterError::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClusterError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(ClusterError::io("lock", &path)(error)),
    }
}

/// What the server logged after its first `said` bytes: why it does not start.
fn last_words(log: &Path, said: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let new = bytes.get(usize::try_from(said).unwrap_or(usize::MAX)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new).into_owned();
    let is_telling = |line: &&str| line.contains("FATAL") || line.contains("PANIC");
    text.lines().find(is_telling).or_else(|| text.lines().last()).unwrap_or("it says nothing").to_owned()
}
