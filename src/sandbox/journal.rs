//! The book on disk: a line of JSON whenever a payment changes, the last one of a number counts.
//!
//! Contract: what was written is there after the process is killed; not necessarily after the machine loses its power. A line that
//! cannot be read is left out. Blocks for as long as the disk takes.

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
        Ok((Self::rewrite(path, &book)?, book))
    }

    /// Writes beside the place and moves it there: a crash leaves the old file or the new one.
    fn rewrite(path: &Path, book: &Book) -> io::Result<Self> {
        let draft = path.with_extension("new");
        let mut writer = BufWriter::new(File::create(&draft)?);
        let mut lines = 0;
        for payment in book.all() {
            writer.write_all(&line(payment)?)?;
            lines += 1;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&draft, path)?;
        Ok(Self { path: path.to_owned(), file: OpenOptions::new().append(true).open(path)?, lines })
    }

    /// Writes down how a payment stands now.
    pub(super) fn write(&mut self, book: &Book, payment: &Payment) -> io::Result<()> {
        self.file.write_all(&line(payment)?)?;
        self.lines += 1;
        if self.lines >= LINES_MAX && self.lines >= 2 * book.all().count() {
            *self = Self::rewrite(&self.path, book)?;
        }
        Ok(())
    }
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
