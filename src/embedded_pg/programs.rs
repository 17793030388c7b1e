//! The programs that come with PostgreSQL: finding them, and running them as the right user.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::User;

use super::{ClusterError, NAME};

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

/// The server's programs, and who runs them.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) bin_dir: PathBuf,
    pub(super) account: Option<User>,
}

/// How a client reaches the server; the folder of its socket follows.
const CONNECTION: [&str; 5] = ["--username", NAME, "--port", "5432", "--host"];

impl Programs {
    /// Looks for the programs: of the cluster's own major version where there is a cluster, of the newest otherwise.
    pub(super) fn find(bin_dir: &Path, version: Option<String>, account: Option<User>) -> Result<Self, ClusterError> {
        let mut candidates: Vec<PathBuf> = if bin_dir.as_os_str().is_empty() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut all: Vec<PathBuf> = BIN_DIRS.iter().flat_map(|pattern| expand(pattern)).collect();
            all.extend(std::env::split_paths(&path));
            all
        } else {
            vec![bin_dir.to_owned()]
        };
        candidates.retain(|dir| {
            ["postgres", "initdb", "pg_ctl", "psql", "createdb"].iter().all(|name| dir.join(name).is_file())
        });
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

    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(name));
        // The server's user need not be able to enter the folder we are in. Its messages are read in English.
        command.current_dir("/").env("LC_ALL", "C");
        // PGPORT and the like are meant for other servers.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        if let Some(user) = &self.account {
            as_user(&mut command, user);
        }
        command
    }

    pub(super) fn run(&self, name: &str, command: &mut Command) -> Result<Output, ClusterError> {
        command.stdin(Stdio::null()).output().map_err(ClusterError::io("run", &self.bin_dir.join(name)))
    }

    /// Makes a cluster beside its final place and moves it there when it is whole.
    pub(super) fn init(&self, dir: &Path) -> Result<(), ClusterError> {
        // An initdb that outlived its parent may still be busy with its draft, so every process has one of its own.
        let draft = dir.with_extension(format!("new-{}", std::process::id()));
        for stale in expand(&format!("{}*", dir.with_extension("new").display())) {
            if let Err(error) = fs::remove_dir_all(&stale) {
                log::warn!("Cannot remove {}: {error}", stale.display());
            }
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
            return Err(ClusterError::Failed(format!("initdb fails: {}", words(&made.stderr))));
        }
        fs::rename(&draft, dir).map_err(ClusterError::io("move into place", dir))
    }

    /// What the server answers to a query, or nothing.
    fn ask(&self, socket_dir: &Path, query: &str) -> Result<Vec<u8>, ClusterError> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-A", "-t", "-d", "postgres", "-c", query]).args(CONNECTION).arg(socket_dir);
        Ok(self.run("psql", &mut psql)?.stdout)
    }

    /// Whether the server has come to the end of its recovery, and can write.
    pub(super) fn is_recovered(&self, socket_dir: &Path) -> Result<bool, ClusterError> {
        Ok(self.ask(socket_dir, "SELECT pg_is_in_recovery()")?.starts_with(b"f"))
    }

    /// Makes the database, if an earlier start has not.
    pub(super) fn create_database(&self, socket_dir: &Path) -> Result<(), ClusterError> {
        let is_there = format!("SELECT 1 FROM pg_database WHERE datname = '{NAME}'");
        if self.ask(socket_dir, &is_there)?.starts_with(b"1") {
            return Ok(());
        }
        let mut createdb = self.command("createdb");
        createdb.args(["--maintenance-db", "postgres", NAME]).args(CONNECTION).arg(socket_dir);
        let made = self.run("createdb", &mut createdb)?;
        if made.status.success() {
            return Ok(());
        }
        Err(ClusterError::Failed(format!("createdb fails: {}", words(&made.stderr))))
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

pub(super) fn words(stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr).trim().replace('\n', " ")
}

pub(super) fn as_user<'c>(command: &'c mut Command, user: &User) -> &'c mut Command {
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw())
}
