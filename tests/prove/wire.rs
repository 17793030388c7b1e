//! The line between an instance and PostgreSQL: passes on what they say, and cuts it on demand, most of all between a COMMIT and its answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, oneshot};

/// A message that begins like this is the client's COMMIT: a simple query, its length, its text.
const COMMIT: &[u8] = b"COMMIT";

/// What is to go wrong.
#[derive(Default)]
struct Faults {
    /// COMMITs that do not arrive any more.
    before: AtomicU32,
    /// COMMITs that arrive, and whose answers do not.
    after: AtomicU32,
    /// COMMITs that were cut.
    cut: AtomicU32,
    /// Nothing passes, and nobody is told.
    is_frozen: AtomicBool,
    /// Ends all connections.
    end: Notify,
}

/// A socket that leads to a server.
pub(crate) struct Wire {
    dir: PathBuf,
    faults: Arc<Faults>,
    stop: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Wire {
    /// Makes a folder `dir` with a socket in it, as libpq looks for one, that leads to `server`.
    pub(crate) fn lay(dir: &Path, server: PathBuf) -> Self {
        fs::create_dir(dir).unwrap();
        let socket = dir.join(".s.PGSQL.5432");
        let faults: Arc<Faults> = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let shared = Arc::clone(&faults);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(socket).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    () = accept(listener, &server, &shared) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        is_ready.recv().unwrap();
        Self { dir: dir.to_owned(), faults, stop: Some((stop, thread)) }
    }

    /// The URL of a database behind it.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://rowlock@{}/{database}?port=5432", self.dir.display().to_string().replace('/', "%2F"))
    }

    /// The next `count` COMMITs do not arrive: their connections are cut in front of them.
    pub(crate) fn cut_before(&self, count: u32) {
        self.faults.before.store(count, Ordering::Relaxed);
    }

    /// The next `count` COMMITs take effect, and their connections are cut before the answer.
    pub(crate) fn cut_after(&self, count: u32) {
        self.faults.after.store(count, Ordering::Relaxed);
    }

    /// COMMITs that were to be cut and have not come yet.
    pub(crate) fn to_be_cut(&self) -> u32 {
        self.faults.before.load(Ordering::Relaxed) + self.faults.after.load(Ordering::Relaxed)
    }

    /// COMMITs that were cut so far, in front of them or behind.
    pub(crate) fn cut(&self) -> usize {
        self.faults.cut.load(Ordering::Relaxed) as usize
    }

    /// Nothing passes any more, in either direction.
    pub(crate) fn freeze(&self) {
        self.faults.is_frozen.store(true, Ordering::Relaxed);
    }

    /// Everything passes again; connections from before are cut.
    pub(crate) fn mend(&self) {
        self.faults.before.store(0, Ordering::Relaxed);
        self.faults.after.store(0, Ordering::Relaxed);
        if self.faults.is_frozen.swap(false, Ordering::Relaxed) {
            self.faults.end.notify_waiters();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.stop.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

async fn accept(listener: UnixListener, server: &Path, faults: &Arc<Faults>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        // A server that is down refuses, and so does its wire.
        let Ok(server) = UnixStream::connect(server).await else { continue };
        let faults = Arc::clone(faults);
        tokio::spawn(async move {
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let is_cut = AtomicBool::new(false);
            // Whichever ends first ends both: dropping the halves closes the connections.
            tokio::select! {
                () = ask(from_client, to_server, &faults, &is_cut) => {}
                () = answer(from_server, to_client, &faults, &is_cut) => {}
                () = faults.end.notified() => {}
            }
        });
    }
}

/// Passes on what the client says.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults, is_cut: &AtomicBool) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        until_thawed(faults).await;
        // libpq sends a simple query by itself, and nothing else before its answer.
        let is_commit = bytes[..read].first() == Some(&b'Q') && bytes.get(5..11) == Some(COMMIT);
        if is_commit && take_one(&faults.before) {
            faults.cut.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if is_commit && take_one(&faults.after) {
            faults.cut.fetch_add(1, Ordering::Relaxed);
            is_cut.store(true, Ordering::Relaxed);
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Passes on what the server says, but not the answer to a COMMIT that is cut.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults, is_cut: &AtomicBool) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        until_thawed(faults).await;
        if is_cut.load(Ordering::Relaxed) || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn until_thawed(faults: &Faults) {
    while faults.is_frozen.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
