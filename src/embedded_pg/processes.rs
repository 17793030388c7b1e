//! Which processes are a cluster's. Pid files outlive their servers, and numbers are given out again.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The running server of the cluster in `dir`. A pid file may have outlived its server, and its number may have been
/// given to somebody else since: the server is the one that works in the cluster's folder.
pub(super) fn postmaster(dir: &Path) -> Option<Pid> {
    let file = fs::read_to_string(dir.join("postmaster.pid")).ok()?;
    let pid: i32 = file.lines().next()?.trim().parse().ok()?;
    let is_ours = if Path::new("/proc/self").exists() {
        fs::read_link(format!("/proc/{pid}/cwd")).ok()? == fs::canonicalize(dir).ok()?
    } else {
        kill(Pid::from_raw(pid), None).is_ok()
    };
    is_ours.then(|| Pid::from_raw(pid))
}

/// How many PostgreSQL processes work in `dir`; nothing where the system does not tell. The dead work nowhere.
pub(super) fn works_in(dir: &Path) -> Option<usize> {
    let dir = fs::canonicalize(dir).ok()?;
    let works_here = |process: &PathBuf| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "postgres")
            && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == dir)
    };
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    Path::new("/proc/self/cwd").exists().then(|| processes.filter(works_here).count())
}
