//! An instance of the service as a process of its own, which is killed and stopped, and whose clock is set wrong.
//!
//! The process is this program again: what it serves is what `rowlock serve` serves, with a clock that obeys its standard input.

use std::fs::File;
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use actix_web::web::Data;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rowlock::clock::Clock;
use rowlock::config::Config;
use rowlock::{App, Parts, http};

/// The argument that makes this program an instance.
pub(crate) const ROLE: &str = "instance";
/// By how many seconds its clock is wrong from the start.
const CLOCK: &str = "CLOCK_SECONDS";
/// How long it may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the process does that is an instance.
pub(crate) fn run() -> ExitCode {
    let config = Config::load(None).unwrap();
    env_logger::Builder::new().parse_filters(&config.log.filter).init();
    let seconds = Arc::new(AtomicI64::new(std::env::var(CLOCK).unwrap().parse().unwrap()));
    let clock = Clock::Wrong(Arc::clone(&seconds));
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            seconds.store(line.parse().unwrap(), Ordering::Relaxed);
        }
        // Whoever started it is gone.
        std::process::exit(0);
    });
    let secret = config.token_secret().unwrap().unwrap().to_vec();
    let url = config.database.url.expose().to_owned();
    let listener = TcpListener::bind((config.http.bind, config.http.port)).unwrap();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM]).unwrap();
    actix_web::rt::System::new().block_on(async {
        let app = match App::new(config, &url, &secret, Parts { clock, ..Parts::default() }) {
            Ok(app) => Data::new(app),
            Err(error) => {
                log::error!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let server = http::serve(app.clone(), listener).unwrap();
        let handle = server.handle();
        let asked = actix_web::rt::task::spawn_blocking(move || signals.forever().next());
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => ended.unwrap(),
            _ = asked => {
                app.events.end_streams();
                drop(handle.stop(true));
                server.await.unwrap();
            }
        }
        app.engine.stop();
        app.events.stop();
        ExitCode::SUCCESS
    })
}

/// An instance, and what is needed to start it again.
pub(crate) struct Instance {
    pub(crate) url: String,
    variables: Vec<(String, String)>,
    log: PathBuf,
    seconds: i64,
    child: Option<Child>,
}

impl Instance {
    /// Prepares one that logs to `log`; it is not started yet.
    pub(crate) fn new(port: u16, mut variables: Vec<(String, String)>, log: PathBuf) -> Self {
        variables.push(("ROWLOCK_HTTP_PORT".to_owned(), port.to_string()));
        Self { url: format!("http://127.0.0.1:{port}"), variables, log, seconds: 0, child: None }
    }

    /// Starts it, and waits until it is ready: a database that is not there yet is waited for.
    pub(crate) fn start(&mut self) {
        let begun = Instant::now();
        loop {
            self.spawn();
            while self.child.as_mut().unwrap().try_wait().unwrap().is_none() {
                if self.is_ready() {
                    return;
                }
                assert!(begun.elapsed() < PATIENCE, "an instance does not start: {}", self.log.display());
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(begun.elapsed() < PATIENCE, "an instance does not start: {}", self.log.display());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn spawn(&mut self) {
        let log = File::options().append(true).create(true).open(&self.log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        // No setting of the caller's reaches it.
        command.arg(ROLE).env_clear().envs(self.variables.iter().cloned()).env(CLOCK, self.seconds.to_string());
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    fn is_ready(&self) -> bool {
        let address = self.url.trim_start_matches("http://");
        let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut line = String::new();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").is_ok()
            && std::io::BufReader::new(stream).read_line(&mut line).is_ok()
            && line.contains(" 200 ")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// Ends it with a signal, waits until it is gone, and says how it went.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let (begun, child) = (Instant::now(), self.child.as_mut().unwrap());
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "an instance does not stop: {}", self.log.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sets its clock wrong by so many seconds.
    pub(crate) fn set_clock(&mut self, seconds: i64) {
        self.seconds = seconds;
        let stdin = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        // One that is down is told when it starts.
        let _ = stdin.map(|stdin| writeln!(stdin, "{seconds}"));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
