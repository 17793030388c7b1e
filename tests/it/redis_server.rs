//! A Redis of a test's own: a real server on a unix socket, which can be killed, stopped and started again.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::open_temp_dir;

/// The server, and the shell that ends it when this process ends, however it ends. It hands every change to the system
/// before it answers, so that it comes back with what it had.
pub(crate) struct TestRedis {
    dir: PathBuf,
    keeper: Child,
}

impl TestRedis {
    pub(crate) fn start() -> Self {
        let dir = open_temp_dir();
        let keeper = start(&dir);
        Self { dir, keeper }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(std::fs::read_to_string(self.dir.join("redis.pid")).unwrap().trim().parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Ends the server without a warning.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let begun = Instant::now();
        while UnixStream::connect(self.socket()).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(10), "Redis does not die");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end_keeper();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.keeper = start(&self.dir);
    }

    pub(crate) fn conn(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    fn end_keeper(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.end_keeper();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn start(dir: &std::path::Path) -> Child {
    let program = ["redis-server", "valkey-server"].into_iter().find(|name| {
        let tried = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !matches!(tried, Err(error) if error.kind() == ErrorKind::NotFound)
    });
    let program = program.expect("redis-server or valkey-server is installed: make test does that");
    let (socket, pid) = (dir.join("redis.sock"), dir.join("redis.pid"));
    for left in [&socket, &pid] {
        let _ = std::fs::remove_file(left);
    }
    let keeper = Command::new("sh")
        .args(["-c", "\"$@\" & cat; kill -9 $!", "sh", program, "--port", "0", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "no", "--pidfile", "redis.pid", "--unixsocket", "redis.sock", "--dir", "."])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while UnixStream::connect(&socket).is_err() || std::fs::read(&pid).unwrap_or_default().last() != Some(&b'\n') {
        assert!(begun.elapsed() < Duration::from_secs(20), "Redis does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    keeper
}
