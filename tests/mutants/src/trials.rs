//! Runs tests, with a mutant or without: in processes of their own, several at a time.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::tree::Binaries;

/// A test, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// Whether it is one of the library's own, rather than of `tests/it`.
    pub(crate) is_unit: bool,
    pub(crate) name: String,
}

impl std::fmt::Display for Test {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.is_unit { "" } else { "it " })?;
        out.write_str(&self.name)
    }
}

/// How a run of tests ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All passed.
    Passed,
    /// This one failed, the first that did.
    Failed(Test),
    /// They did not end in time.
    Hung,
    /// The process died.
    Died,
}

pub(crate) struct Trials<'t> {
    pub(crate) binaries: &'t Binaries,
    /// Where they run: the root of the package.
    pub(crate) folder: &'t Path,
    /// Where they leave what they saw.
    pub(crate) out: &'t Path,
}

/// What more than this a process of tests has of memory, it is refused: a mutant may never stop asking.
const MEMORY_KIB: u64 = 8 * 1024 * 1024;

/// What a process of tests may take of a processor: should nobody be there to end a loop without an end, it ends by itself.
const CPU_SECONDS: u64 = 900;

impl Trials<'_> {
    /// All tests there are.
    pub(crate) fn all(&self) -> Vec<Test> {
        let of = |is_unit: bool| {
            let output = Command::new(self.binary(is_unit)).arg("--list").output().expect("it was built");
            let text = String::from_utf8(output.stdout).expect("names are UTF-8");
            let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
            names.map(|name| Test { is_unit, name: name.to_owned() }).collect::<Vec<_>>()
        };
        [of(true), of(false)].concat()
    }

    fn binary(&self, is_unit: bool) -> &PathBuf {
        if is_unit { &self.binaries.unit } else { &self.binaries.it }
    }

    /// Runs a test without any mutant, and tells which it asked for, and how long it took.
    pub(crate) fn record(&self, test: &Test) -> (Ended, Duration, BTreeSet<u32>) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let seen = self.out.join(format!("seen-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::remove_file(&seen);
        let begun = Instant::now();
        let ended = self.run(&[test], ("MUTANTS_SEEN", &seen.to_string_lossy()), Duration::from_secs(300));
        let took = begun.elapsed();
        let ids = fs::read_to_string(&seen).unwrap_or_default();
        let _ = fs::remove_file(&seen);
        (ended, took, ids.lines().filter_map(|id| id.parse().ok()).collect())
    }

    /// Runs tests, all of one kind, with a mutant until one fails.
    pub(crate) fn attempt(&self, mutant: u32, tests: &[&Test], limit: Duration) -> Ended {
        self.run(tests, ("MUTANT", &mutant.to_string()), limit)
    }

    fn run(&self, tests: &[&Test], variable: (&str, &str), limit: Duration) -> Ended {
        let is_unit = tests.iter().all(|test| test.is_unit);
        let temp = Temp::new();
        let script = format!("ulimit -v {MEMORY_KIB}; ulimit -t {CPU_SECONDS}; ulimit -c 0; exec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(self.binary(is_unit))
            .args(["--exact", "--test-threads", "3"])
            .args(tests.iter().map(|test| &test.name))
            .env(variable.0, variable.1)
            .env("TMPDIR", &temp.0)
            .current_dir(self.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let ended = watch(&mut child, Instant::now() + limit, is_unit);
        // With all that it has started, but for what has made itself independent: see `Temp`.
        let _ = killpg(Pid::from_raw(child.id().try_into().expect("a process id")), Signal::SIGKILL);
        let _ = child.wait();
        ended
    }
}

/// A folder for all that a process of tests leaves behind. Databases that it has started in there are stopped with it. Its path is short:
/// the sockets of servers are in it.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rowlock-mutants-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the folder for temporary files can be written");
        // Databases run as another user where the tests are root's.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self(path)
    }

    /// The servers that have not ended yet, by what they write beside their data.
    fn servers(&self) -> Vec<Pid> {
        fn walk(folder: &Path, depth: u32, found: &mut Vec<Pid>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name() == "postmaster.pid" {
                    let text = fs::read_to_string(entry.path()).unwrap_or_default();
                    found.extend(text.lines().next().and_then(|id| id.trim().parse().ok()).map(Pid::from_raw));
                } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    walk(&entry.path(), depth - 1, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, 3, &mut found);
        found.retain(|server| kill(*server, None).is_ok());
        found
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // The tests' own reaper stops the server that most of them share, and removes it.
        for tried in 0..100 {
            let servers = self.servers();
            if servers.is_empty() {
                break;
            }
            if tried % 20 == 10 {
                servers.into_iter().for_each(|server| {
                    let _ = kill(server, Signal::SIGINT);
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn watch(child: &mut Child, until: Instant, is_unit: bool) -> Ended {
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    loop {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let failed = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
                if let Some(name) = failed {
                    return Ended::Failed(Test { is_unit, name: name.to_owned() });
                }
                if line.starts_with("test result: ok") {
                    return Ended::Passed;
                }
            }
            Err(RecvTimeoutError::Timeout) => return Ended::Hung,
            Err(RecvTimeoutError::Disconnected) => return Ended::Died,
        }
    }
}

/// Does `work` with each item, a few at a time, in their order.
pub(crate) fn side_by_side<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let jobs = std::env::var("JOBS").ok().and_then(|jobs| jobs.parse().ok());
    let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}
