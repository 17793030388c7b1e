//! The private cluster and those around it: whose process is whose, and where it lives.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::{Folder, Service, is_gone, postmaster, run, sentence};
use crate::harness::order;

/// In a container, root may not look into other users' processes, and so not into the server's.
#[actix_web::test]
async fn a_server_that_cannot_be_looked_into_is_alive() {
    // Whoever is not root looks into their own.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let blind = || {
        let mut command = Command::new("setpriv");
        let capabilities = ["--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace"];
        command.args(capabilities).args([env!("CARGO_BIN_EXE_rowlock"), "serve"]).current_dir(&folder.0);
        command.env_remove("DATABASE_URL").env_remove("REDIS_URL");
        Service::run(command).0
    };
    let mut service = blind();
    let token = service.token().await;
    let server = postmaster(&folder.0).unwrap();
    // Longer than it takes to notice that a server has died.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!service.said().contains("has died") && postmaster(&folder.0) == Some(server), "{}", service.said());
    kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    assert_eq!(service.place_patiently(&token, "k", &order(&[(1, 1)])).await.status, 201);
    service.signal(Signal::SIGKILL);
    service.wait();
    let left = postmaster(&folder.0).unwrap();
    let mut service = blind();
    assert!(is_gone(left), "what an earlier run left behind is stopped");
    let server = postmaster(&folder.0).unwrap();
    service.signal(Signal::SIGTERM);
    assert_eq!(service.wait().code(), Some(0));
    assert!(is_gone(server), "PostgreSQL is stopped");
}

/// After a crash of the machine, the number in the pid file may be another process's.
#[test]
fn a_stale_pid_file_does_not_harm_a_stranger() {
    let folder = Folder::new();
    assert_eq!(run(&folder.0, &["seed"], &[]).status.code(), Some(0));
    let pg = folder.0.join("data/pg");
    let owner = fs::metadata(&pg).unwrap();
    let mut stranger = Command::new("sleep");
    std::os::unix::process::CommandExt::uid(&mut stranger, std::os::unix::fs::MetadataExt::uid(&owner));
    let mut stranger = stranger.arg("60").current_dir("/").spawn().unwrap();
    fs::write(pg.join("postmaster.pid"), format!("{}\n{}\n0\n5432\n", stranger.id(), pg.display())).unwrap();
    let audit = run(&folder.0, &["audit"], &[]);
    assert!(audit.status.success(), "{audit:?}");
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// The server of root's service runs as another user, and what that user may enter changes. The cluster stays where it was
/// made: a second, empty one would look as if every order were lost.
#[test]
fn a_cluster_stays_where_it_was_made() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::Uid::effective().is_root() {
        return; // An ordinary user's server runs as that user: there is only one place.
    }
    let set_mode = |folder: &Folder, mode| fs::set_permissions(&folder.0, fs::Permissions::from_mode(mode)).unwrap();
    let open = Folder::new();
    assert!(run(&open.0, &["seed"], &[]).status.success());
    set_mode(&open, 0o700);
    let refused = sentence(&run(&open.0, &["audit"], &[]));
    assert!(refused.contains("can no longer enter"), "{refused}");
    set_mode(&open, 0o755);
    assert!(run(&open.0, &["audit"], &[]).status.success());

    let closed = Folder::new();
    set_mode(&closed, 0o700);
    let nothing = run(&closed.0, &["audit"], &[]);
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(
        said.ends_with("nothing to audit\n") && !said.contains("Keeps the cluster"),
        "who only looks makes no place: {said}"
    );
    let seeded = run(&closed.0, &["seed"], &[]);
    assert!(seeded.status.success() && !closed.0.join("data/pg").exists(), "{seeded:?}");
    let log = String::from_utf8(seeded.stderr).unwrap();
    let place = log.split("Keeps the cluster in ").nth(1).unwrap().split(':').next().unwrap();
    let _place = Folder(PathBuf::from(place));
    set_mode(&closed, 0o755);
    let again = String::from_utf8(run(&closed.0, &["seed"], &[]).stdout).unwrap();
    assert_eq!(again, "added merchant 2\n", "it is still the same cluster");
}
