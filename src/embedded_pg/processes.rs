//! Which processes are a cluster's. Pid files outlive their servers, and numbers are given out again.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Pid;

/// The running server of the cluster in `dir`. A pid file may have outlived its server, and its number may have been
/// given to somebody else since: the server is the one that works in the cluster's folder.
pub(super) fn postmaster(dir: &Path) -> Option<Pid> {
    let pid = told_by(dir)?;
    let is_ours = if Path::new("/proc/self").exists() {
        let (process, dir) = (process(pid), fs::canonicalize(dir).ok()?);
        works_there(&process, &dir).unwrap_or_else(|| was_started_for(&process, &dir))
    } else {
        // As on macOS.
        let name = Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
        name.is_ok_and(|name| String::from_utf8_lossy(&name.stdout).trim_end().ends_with("postgres"))
    };
    is_ours.then(|| Pid::from_raw(pid))
}

/// Whether the number in the pid file is that of a dead process, which nobody has buried yet.
pub(super) fn is_corpse(dir: &Path) -> bool {
    let stat = told_by(dir).map(|pid| fs::read_to_string(process(pid).join("stat")).unwrap_or_default());
    stat.is_some_and(|stat| stat.contains(") Z "))
}

fn told_by(dir: &Path) -> Option<i32> {
    let file = fs::read_to_string(dir.join("postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

fn process(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// How many PostgreSQL processes work in `dir`; nothing where the system does not tell. The dead work nowhere.
pub(super) fn works_in(dir: &Path) -> Option<usize> {
    let dir = fs::canonicalize(dir).ok()?;
    let owner = fs::metadata(&dir).ok()?.uid();
    if !Path::new("/proc/self/cwd").exists() {
        return None;
    }
    let mut count = 0;
    for process in fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path())) {
        if !is_living_server(&process) {
            continue;
        }
        match works_there(&process, &dir) {
            Some(true) => count += 1,
            None if fs::metadata(&process).is_ok_and(|process| process.uid() == owner) => return None,
            Some(false) | None => {}
        }
    }
    Some(count)
}

/// Whether a process works in `dir`; nothing where we may not look. Root may look into all, but not in a container that has
/// no CAP_SYS_PTRACE.
fn works_there(process: &Path, dir: &Path) -> Option<bool> {
    match fs::read_link(process.join("cwd")) {
        Ok(cwd) => Some(cwd == dir),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        Err(_) => Some(false),
    }
}

/// Whether a process's command line, which everybody may read, says `-D dir`.
fn was_started_for(process: &Path, dir: &Path) -> bool {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let is_dir = |word: &[u8]| fs::canonicalize(OsStr::from_bytes(word)).is_ok_and(|named| named == dir);
    words.windows(2).any(|pair| pair[0] == b"-D" && is_dir(pair[1]))
}

fn is_living_server(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.split_once(" (postgres) ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
