//! The book on disk: a line of JSON whenever a payment changes, the last one of a number counts.
//!
//! Contract: what was written is there after the process is killed; not necessarily after the machine loses its power. A line that
//! cannot be read is left out. One process at a time may have it. Blocks for as long as the disk takes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::book::{Book, Payment};

/// Lines after which the file is written anew, with one line a payment, if that makes it shorter by half.
const LINES_MAX: usize = 10_000;

/// An open journal.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Journal {
    /// Reads the file, if there is one, and goes on writing to it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Book)> {
        let mut book = Book::default();
        match File::open(path) {
            Ok(file) => {
                for payment in read(BufReader::new(file))? {
                    book.restore(payment);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (file, lines) = rewrite(path, &book)?;
        Ok((Self { path: path.to_owned(), file, lines }, book))
    }

    /// Writes down how a payment stands now.
    pub(super) fn write(&mut self, book: &Book, payment: &Payment) -> io::Result<()> {
        self.file.write_all(&line(payment)?)?;
        self.lines += 1;
        if self.lines >= LINES_MAX && self.lines >= 2 * book.all().count() {
            (self.file, self.lines) = rewrite(&self.path, book)?;
        }
        Ok(())
    }
}

/// Writes one line a payment, beside the place, and moves it there: a crash leaves the old file or the new one.
fn rewrite(path: &Path, book: &Book) -> io::Result<(File, usize)> {
    let draft = path.with_extension("new");
    let mut writer = BufWriter::new(File::create(&draft)?);
    let mut lines = 0;
    for payment in book.all() {
        writer.write_all(&line(payment)?)?;
        lines += 1;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&draft, path)?;
    Ok((OpenOptions::new().append(true).open(path)?, lines))
}

fn line(payment: &Payment) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(payment)?;
    line.push(b'\n');
    Ok(line)
}

/// The last line of each payment, in the order in which they were announced.
fn read(lines: impl BufRead) -> io::Result<Vec<Payment>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut payments: Vec<Payment> = Vec::new();
    for line in lines.split(b'\n') {
        let line = line?;
        match serde_json::from_slice::<Payment>(&line) {
            Ok(payment) => match places.get(&payment.terms.number) {
                Some(place) => payments[*place] = payment,
                None => {
                    places.insert(payment.terms.number.clone(), payments.len());
                    payments.push(payment);
                }
            },
            Err(error) => log::warn!("Leaves out a line of the sandbox's journal: {error}"),
        }
    }
    Ok(payments)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::super::book::{Manner, PaymentState, Terms};
    use super::*;
    use crate::domain::MerchantId;
    use crate::domain::money::Money;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_233_600, 0).expect("a time")
    }

    fn announce(book: &mut Book, number: &str) {
        let terms = Terms {
            merchant: MerchantId(1),
            number: number.to_owned(),
            amount: Money::from_fen(500),
            description: "dumplings".to_owned(),
            channel: "page".to_owned(),
            payer: None,
            notify_url: "http://127.0.0.1:9/".to_owned(),
            expires_at: noon() + TimeDelta::minutes(15),
        };
        book.announce(terms, noon()).expect("fine terms");
    }

    fn write(journal: &mut Journal, book: &Book, number: &str) {
        journal.write(book, book.payment(number).expect("announced")).expect("a disk with room");
    }

    #[test]
    fn the_last_line_counts_and_a_torn_one_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sandbox.jsonl");
        let (mut journal, mut book) = Journal::open(&path).expect("a new file");
        for number in ["first-1", "second-2"] {
            announce(&mut book, number);
            write(&mut journal, &book, number);
        }
        book.pay("first-1", Manner::default(), noon()).expect("open");
        write(&mut journal, &book, "first-1");
        drop(journal);

        let (mut journal, again) = Journal::open(&path).expect("what was written");
        assert_eq!(again.all().collect::<Vec<_>>(), book.all().collect::<Vec<_>>());
        assert_eq!(again.payment("first-1").expect("known").state(noon()), PaymentState::Paid);
        assert_eq!(fs::read_to_string(&path).expect("written").lines().count(), 2, "old lines are gone");

        write(&mut journal, &again, "second-2");
        drop(journal);
        let file = OpenOptions::new().write(true).open(&path).expect("there");
        let length = file.metadata().expect("there").len();
        file.set_len(length - 5).expect("cut");
        let (mut journal, again) = Journal::open(&path).expect("all but the torn line");
        assert_eq!(again.all().collect::<Vec<_>>(), book.all().collect::<Vec<_>>());
        for _ in 0..LINES_MAX {
            write(&mut journal, &again, "second-2");
        }
        let lines = fs::read_to_string(&path).expect("written").lines().count();
        assert!(lines < LINES_MAX / 2, "{lines} lines for two payments");
    }
}
