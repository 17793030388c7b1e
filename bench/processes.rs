//! Child processes that do not outlive the benchmark.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::Result;

/// Whether SIGINT or SIGTERM has asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn listen() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// Goes on only if nobody has asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err("stopped by a signal".into()) } else { Ok(()) }
    }
}

/// A process that is killed when this goes out of scope.
pub(crate) struct Guarded(pub(crate) Child);

impl Guarded {
    /// Starts a process that writes to the file `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self(command.spawn().map_err(|error| format!("cannot run {name}: {error}"))?))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a process to its end and returns what it said.
pub(crate) fn run(command: &mut Command, log: &Path, stop: &Stop) -> Result<String> {
    let mut process = Guarded::spawn(command, log)?;
    let status = loop {
        if let Some(status) = process.0.try_wait()? {
            break status;
        }
        stop.check()?;
        std::thread::sleep(Duration::from_millis(20));
    };
    // Ctrl-C reaches the child, too, which then ends in good order, but early.
    stop.check()?;
    let said = fs::read_to_string(log)?;
    if status.success() { Ok(said) } else { Err(format!("{status} of {command:?}: {said}").into()) }
}
