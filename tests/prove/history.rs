//! What the clients saw, in the order in which they saw it: from it a violation is told as a story.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::plan::Fault;

/// Lines of a story, at most.
const STORY: usize = 60;

/// What happened.
pub(crate) struct History {
    begun: Instant,
    notes: Mutex<Vec<Note>>,
}

struct Note {
    milliseconds: u128,
    is_fault: bool,
    text: String,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), notes: Mutex::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Vec<Note>> {
        self.notes.lock().unwrap()
    }

    /// Milliseconds since the round began.
    pub(crate) fn now(&self) -> u128 {
        self.begun.elapsed().as_millis()
    }

    /// Somebody asked at that time, and now was answered, or was not.
    pub(crate) fn note(&self, asked: u128, text: impl FnOnce() -> String) {
        let milliseconds = self.now();
        self.notes().push(Note { milliseconds, is_fault: false, text: format!("(asked {asked}) {}", text()) });
    }

    /// A fault began to strike.
    pub(crate) fn struck(&self, fault: Fault) {
        let milliseconds = self.now();
        self.notes().push(Note { milliseconds, is_fault: true, text: fault.name().to_owned() });
    }

    /// All that names one of `about`, and the faults in between.
    pub(crate) fn story(&self, about: &[String]) -> String {
        let notes = self.notes();
        let is_about = |note: &Note| !note.is_fault && about.iter().any(|word| note.text.contains(word.as_str()));
        let Some(first) = notes.iter().position(is_about) else { return String::new() };
        let last = notes.iter().rposition(is_about).unwrap_or(first);
        let from = notes[first].milliseconds.saturating_sub(3_000);
        let told = notes[..=last].iter().filter(|note| is_about(note) || (note.is_fault && note.milliseconds >= from));
        let mut story = String::new();
        for note in told.take(STORY) {
            let mark = if note.is_fault { "  *** " } else { "  " };
            let _ = writeln!(story, "    {:>8} ms{mark}{}", note.milliseconds, note.text);
        }
        story
    }
}
