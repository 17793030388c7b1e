//! A private PostgreSQL cluster for the default run and for tests.
//!
//! Contract: one process owns the cluster of a data directory, by a lock on a file beside it; the owner starts and stops the server. The
//! server listens on a unix socket that only its user (and root) can reach. Whatever a crash left behind, a half-made
//! cluster, an orphaned server, a stale pid file, the next start clears up.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use nix::unistd::{Uid, User};

/// Where Debian, Fedora, Arch, Alpine and Homebrew put the server's programs, one folder a major version.
const BIN_DIRS: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];
/// The superuser of the cluster and the name of its database.
const NAME: &str = "rowlock";
/// The longest path the kernel takes for a socket, less the socket's own name.
const SOCKET_DIR_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();
const START_SECONDS: u64 = 60;

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
        let account = account(&options.user)?;
        let dir = cluster_dir(&data_dir, account.as_ref())?;
        let programs = Programs::find(&options.bin_dir, version_of(&dir), account)?;
        let socket_dir = socket_dir(&dir, programs.account.as_ref())?;
        if !dir.join("PG_VERSION").exists() {
            programs.init(&dir)?;
        }
        let cluster = Self { programs, dir, socket_dir, _lock: lock };
        if cluster.programs.is_running(&cluster.dir)? {
            log::warn!("Stops a PostgreSQL that an earlier run left behind");
            cluster.programs.stop(&cluster.dir)?;
        }
        cluster.up(&options.settings)?;
        cluster.programs.create_database(&cluster.socket_dir)?;
        Ok(cluster)
    }

    fn up(&self, settings: &[String]) -> Result<(), ClusterError> {
        let log = self.dir.join("server.log");
        let mut server = format!("-c listen_addresses='' -c unix_socket_directories='{}'", self.socket_dir.display());
        for setting in settings {
            server.push_str(&format!(" -c {setting}"));
        }
        let begun = Instant::now();
        loop {
            let mut start = self.programs.command("pg_ctl");
            start.args(["start", "-w", "-s", "-t", &START_SECONDS.to_string(), "-o", &server, "-D"]).arg(&self.dir);
            // The server inherits what is open here and outlives it: nothing that somebody reads to its end may be.
            start.arg("-l").arg(&log).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let status = start.status().map_err(ClusterError::io("run", &self.programs.bin_dir.join("pg_ctl")))?;
            if status.success() {
                return Ok(());
            }
            // Backends of a server that was killed hold its shared memory for a moment longer.
            let words = last_line(&log);
            if !words.contains("shared memory") || begun.elapsed() > Duration::from_secs(10) {
                return Err(ClusterError::Failed(format!(
                    "PostgreSQL does not start: {words} (see {})",
                    log.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
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

    /// The URL of the cluster in `options.data_dir` that another process owns.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn url_in(options: &Options) -> Result<String, ClusterError> {
        let account = account(&options.user)?;
        let dir = cluster_dir(&absolute(&options.data_dir)?, account.as_ref())?;
        Ok(url(&socket_dir(&dir, account.as_ref())?, NAME))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.programs.stop(&self.dir) {
            log::error!("{error}");
        }
        if self.socket_dir != self.dir {
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }
}

fn url(socket_dir: &Path, database: &str) -> String {
    let encode = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    let host: String = socket_dir.as_os_str().as_encoded_bytes().iter().map(encode).collect();
    format!("postgres://{NAME}@{host}/{database}")
}

/// The path from the root. Characters that a server setting would need quoted are refused.
fn absolute(path: &Path) -> Result<PathBuf, ClusterError> {
    let path = std::path::absolute(path).map_err(ClusterError::io("find", path))?;
    match path.to_str() {
        Some(text) if !text.contains(['\'', '"', '\\', ',', '\n']) => Ok(path),
        _ => Err(ClusterError::Failed(format!(
            "data.dir {} has a quote, comma or backslash in its path",
            path.display()
        ))),
    }
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

/// Whom the server runs as: nobody else than this process, unless that is root's.
fn account(name: &str) -> Result<Option<User>, ClusterError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = [name, "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    user.map(Some).ok_or_else(|| {
        ClusterError::Failed(format!(
            "PostgreSQL refuses to run as root and there is no user {name}: set embedded_pg.user"
        ))
    })
}

/// Where the cluster lives: in the data directory, or, when that is closed to the user who runs the server (a folder in
/// /root, say), under /var/lib.
fn cluster_dir(data_dir: &Path, account: Option<&User>) -> Result<PathBuf, ClusterError> {
    let Some(user) = account else { return Ok(data_dir.join("pg")) };
    let reachable = as_user(Command::new("test").arg("-x").arg(data_dir), user)
        .status()
        .map_err(ClusterError::io("look into", data_dir))?;
    if reachable.success() {
        return Ok(data_dir.join("pg"));
    }
    let parent = Path::new("/var/lib/rowlock").join(hash(data_dir));
    fs::create_dir_all(&parent).map_err(ClusterError::io("make", &parent))?;
    log::info!("Keeps the cluster in {}: user {} cannot enter {}", parent.display(), user.name, data_dir.display());
    Ok(parent.join("pg"))
}

/// Where the socket lives: in the cluster's folder, or in /tmp when that path is too long for a socket.
fn socket_dir(dir: &Path, account: Option<&User>) -> Result<PathBuf, ClusterError> {
    if dir.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
        return Ok(dir.to_owned());
    }
    let owner = account.map_or_else(Uid::effective, |user| user.uid);
    let short = std::env::temp_dir().join(format!("rowlock-{}", hash(dir)));
    if !short.exists() {
        fs::DirBuilder::new().mode(0o700).create(&short).map_err(ClusterError::io("make", &short))?;
        chown(&short, Some(owner.as_raw()), None).map_err(ClusterError::io("give away", &short))?;
    }
    let metadata = fs::symlink_metadata(&short).map_err(ClusterError::io("look into", &short))?;
    if !metadata.is_dir() || metadata.uid() != owner.as_raw() || metadata.permissions().mode() & 0o077 != 0 {
        return Err(ClusterError::Failed(format!("{} is in the way: somebody else made it", short.display())));
    }
    Ok(short)
}

/// A short name for a path, the same in every build.
fn hash(path: &Path) -> String {
    let digest = digest(&SHA256, path.as_os_str().as_encoded_bytes());
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn version_of(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("PG_VERSION")).ok().map(|version| version.trim().to_owned())
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let telling = |line: &&str| line.contains("FATAL") || line.contains("ERROR") || line.contains("PANIC");
    text.lines().rev().find(telling).or_else(|| text.lines().last()).unwrap_or("no word from the server").to_owned()
}

fn as_user<'c>(command: &'c mut Command, user: &User) -> &'c mut Command {
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw())
}

/// The server's programs, and who runs them.
#[derive(Debug)]
struct Programs {
    bin_dir: PathBuf,
    account: Option<User>,
}

impl Programs {
    /// Looks for the programs: of the cluster's own major version where there is a cluster, of the newest otherwise.
    fn find(bin_dir: &Path, version: Option<String>, account: Option<User>) -> Result<Self, ClusterError> {
        let mut candidates: Vec<PathBuf> = if bin_dir.as_os_str().is_empty() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut all: Vec<PathBuf> = BIN_DIRS.iter().flat_map(|pattern| expand(pattern)).collect();
            all.extend(std::env::split_paths(&path));
            all
        } else {
            vec![bin_dir.to_owned()]
        };
        candidates.retain(|dir| ["initdb", "pg_ctl", "postgres"].iter().all(|name| dir.join(name).is_file()));
        let mut found: Vec<(u32, PathBuf)> =
            candidates.into_iter().filter_map(|dir| Some((major_of(&dir)?, dir))).collect();
        found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        let wanted = version.as_deref().and_then(|version| version.parse::<u32>().ok());
        let fitting = found.iter().find(|(major, _)| wanted.is_none_or(|wanted| wanted == *major));
        match (fitting, version) {
            (Some((_, dir)), _) => Ok(Self { bin_dir: dir.clone(), account }),
            (None, Some(version)) if !found.is_empty() => Err(ClusterError::Failed(format!(
                "the cluster was made by PostgreSQL {version}, which is not installed: install it, or move the data directory away"
            ))),
            (None, _) => Err(ClusterError::Failed(
                "PostgreSQL is not installed: run `make dependencies` (Debian: apt-get install postgresql), \
                 set embedded_pg.bin_dir, or set DATABASE_URL to a server of yours"
                    .to_owned(),
            )),
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(name));
        // The server's user need not be able to enter the folder we are in. Its messages are read in English.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some(user) = &self.account {
            as_user(&mut command, user);
        }
        command
    }

    fn run(&self, name: &str, command: &mut Command) -> Result<Output, ClusterError> {
        command.stdin(Stdio::null()).output().map_err(ClusterError::io("run", &self.bin_dir.join(name)))
    }

    /// Makes a cluster beside its final place and moves it there when it is whole.
    fn init(&self, dir: &Path) -> Result<(), ClusterError> {
        let draft = dir.with_extension("new");
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(ClusterError::io("remove", &draft))?;
        }
        fs::DirBuilder::new().mode(0o700).create(&draft).map_err(ClusterError::io("make", &draft))?;
        if let Some(user) = &self.account {
            chown(&draft, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(ClusterError::io("give away", &draft))?;
        }
        let mut initdb = self.command("initdb");
        initdb.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--username", NAME, "-D"]).arg(&draft);
        let made = self.run("initdb", &mut initdb)?;
        if !made.status.success() {
            let words = String::from_utf8_lossy(&made.stderr).trim().replace('\n', " ");
            return Err(ClusterError::Failed(format!("initdb fails: {words}")));
        }
        fs::rename(&draft, dir).map_err(ClusterError::io("move into place", dir))
    }

    fn is_running(&self, dir: &Path) -> Result<bool, ClusterError> {
        let status = self.run("pg_ctl", self.command("pg_ctl").arg("status").arg("-D").arg(dir))?;
        Ok(status.status.success())
    }

    fn stop(&self, dir: &Path) -> Result<(), ClusterError> {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-w", "-s", "-m", "fast", "-t", &START_SECONDS.to_string(), "-D"]).arg(dir);
        let stopped = self.run("pg_ctl", &mut stop)?;
        if stopped.status.success() || !self.is_running(dir)? {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&stopped.stderr).trim().replace('\n', " ");
        Err(ClusterError::Failed(format!("PostgreSQL does not stop: {words}")))
    }

    /// Makes the database, if an earlier start has not.
    fn create_database(&self, socket_dir: &Path) -> Result<(), ClusterError> {
        let mut createdb = self.command("createdb");
        createdb.args(["--username", NAME, "--maintenance-db", "postgres", NAME, "--host"]).arg(socket_dir);
        let made = self.run("createdb", &mut createdb)?;
        let words = String::from_utf8_lossy(&made.stderr).trim().replace('\n', " ");
        if made.status.success() || words.contains("already exists") {
            return Ok(());
        }
        Err(ClusterError::Failed(format!("createdb fails: {words}")))
    }
}

/// The folders that fit a pattern with at most one star.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    entries
        .filter_map(name)
        .filter(|name| name.starts_with(prefix))
        .map(|name| PathBuf::from(format!("{parent}/{name}{after}")))
        .collect()
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → 15.
fn major_of(bin_dir: &Path) -> Option<u32> {
    let output = Command::new(bin_dir.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
