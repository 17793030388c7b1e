//! Where a cluster and its socket live, and whose they are.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use nix::unistd::{Uid, User};

use super::ClusterError;
use super::programs::as_user;
use crate::hex;

/// The longest path the kernel takes for a socket, less the socket's own name.
const SOCKET_DIR_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();

/// The path from the root. Characters that a server setting would need quoted are refused.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, ClusterError> {
    let path = std::path::absolute(path).map_err(ClusterError::io("find", path))?;
    match path.to_str() {
        Some(text) if !text.contains(['\'', '"', '`', '$', '\\', ',', '\n']) => Ok(path),
        _ => Err(ClusterError::Failed(format!(
            "data.dir {} has a quote, comma, dollar or backslash in its path",
            path.display()
        ))),
    }
}

pub(super) fn is_made(dir: &Path) -> bool {
    dir.join("PG_VERSION").exists()
}

/// Where root keeps clusters away from their data directories.
const AWAY: &str = "/var/lib/rowlock";

/// Where a cluster may live: in the data directory or, if it is root's, away from it.
fn places(data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join("pg"), Path::new(AWAY).join(hash(data_dir)).join("pg")]
}

/// Whether there is a cluster where this user's would be.
pub(super) fn is_anywhere(data_dir: &Path) -> bool {
    let [here, away] = places(data_dir);
    is_made(&here) || (Uid::effective().is_root() && is_made(&away))
}

/// Where the cluster lives, and who runs its server: this process's user, or, when that is root, the cluster's owner.
///
/// A new cluster of root's goes to the data directory, or, when that is closed to the user who will run the server (a
/// folder in /root, say), under /var/lib. One that was made stays where it is.
pub(super) fn place(data_dir: &Path, user: &str) -> Result<(PathBuf, Option<User>), ClusterError> {
    let [here, away] = places(data_dir);
    if !Uid::effective().is_root() {
        return Ok((here, None));
    }
    let dir = match (is_made(&here), is_made(&away)) {
        (true, true) => {
            let (here, away) = (here.display(), away.display());
            return Err(ClusterError::Failed(format!(
                "there are two clusters, {here} and {away}: move one of them away"
            )));
        }
        (true, false) => here,
        (false, true) => away,
        (false, false) => {
            let account = User::from_name(user).ok().flatten().ok_or_else(|| {
                ClusterError::Failed(format!(
                    "PostgreSQL refuses to run as root and there is no user {user}: set embedded_pg.user"
                ))
            })?;
            if can_enter(&account, data_dir)? {
                return Ok((here, Some(account)));
            }
            let parent = away.parent().expect("it is in a folder of its own");
            fs::create_dir_all(parent).map_err(ClusterError::io("make", parent))?;
            for dir in [Path::new(AWAY), parent] {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(ClusterError::io("open", dir))?;
            }
            log::info!("Keeps the cluster in {}: user {user} cannot enter {}", parent.display(), data_dir.display());
            return Ok((away, Some(account)));
        }
    };
    let owner = fs::metadata(&dir).map_err(ClusterError::io("look into", &dir))?.uid();
    let account = User::from_uid(Uid::from_raw(owner)).ok().flatten();
    let account = account.filter(|user| !user.uid.is_root()).ok_or_else(|| {
        ClusterError::Failed(format!("{} belongs to user {owner}, who cannot run PostgreSQL", dir.display()))
    })?;
    if dir.starts_with(data_dir) && !can_enter(&account, data_dir)? {
        let (user, dir) = (account.name, data_dir.display());
        return Err(ClusterError::Failed(format!("user {user}, who runs PostgreSQL, can no longer enter {dir}")));
    }
    Ok((dir, Some(account)))
}

fn can_enter(user: &User, dir: &Path) -> Result<bool, ClusterError> {
    let status = as_user(Command::new("test").arg("-x").arg(dir), user).status();
    Ok(status.map_err(ClusterError::io("look into", dir))?.success())
}

/// Where the socket lives: in the cluster's folder, or in /tmp when that path is too long for a socket.
pub(super) fn socket_dir(dir: &Path, account: Option<&User>) -> Result<PathBuf, ClusterError> {
    if dir.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
        return Ok(dir.to_owned());
    }
    let owner = account.map_or_else(Uid::effective, |user| user.uid);
    let short = Path::new("/tmp").join(format!("rowlock-{}", hash(dir)));
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
    hex::encode(&digest.as_ref()[..8])
}

pub(super) fn version_of(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("PG_VERSION")).ok().map(|version| version.trim().to_owned())
}
