//! Days of business in a query.

use chrono::{Datelike, NaiveDate};

use crate::error::Error;

/// Refuses days in years that nobody can mean, and days in the wrong order.
pub(super) fn checked_days(from: Option<NaiveDate>, to: Option<NaiveDate>) -> Result<(), Error> {
    for (name, day) in [("from", from), ("to", to)] {
        if day.is_some_and(|day| !(2000..=2200).contains(&day.year())) {
            return Err(Error::MalformedQuery(format!("{name} must be in the years from 2000 to 2200")));
        }
    }
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Error::MalformedQuery("from is after to".to_owned()));
    }
    Ok(())
}
