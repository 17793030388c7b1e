//! Which day of business a moment belongs to.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// A merchant's days of business: they begin at a wall-clock time of its zone, four in the morning by default, so that a night is
/// not cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusinessDays {
    /// The zone of the merchant's clock.
    pub time_zone: Tz,
    /// When a day begins.
    pub starts_at: NaiveTime,
}

impl BusinessDays {
    /// The day that `moment` belongs to.
    pub fn of(self, moment: DateTime<Utc>) -> NaiveDate {
        // By the moments that days begin at, not by the clock on the wall, which may show an hour twice.
        let date = moment.with_timezone(&self.time_zone).date_naive();
        if moment < self.start(date) { date - Days::new(1) } else { date }
    }

    /// The first moment of `day`. Where clocks are put forward over it, the moment they are put forward.
    pub fn start(self, day: NaiveDate) -> DateTime<Utc> {
        let mut local = day.and_time(self.starts_at);
        loop {
            if let Some(start) = self.time_zone.from_local_datetime(&local).earliest() {
                return start.to_utc();
            }
            // Gaps are whole minutes, an hour as a rule.
            local += TimeDelta::minutes(1);
        }
    }

    /// The hours of `day` as the clock on the wall shows them, from 0 to 23, each with its first moment. The first and the last may be
    /// parts of one; where clocks are put back one may come twice, where they are put forward one may be missing.
    pub fn hours(self, day: NaiveDate) -> Vec<(DateTime<Utc>, u32)> {
        let (mut moment, end) = (self.start(day), self.start(day + Days::new(1)));
        let mut hours = Vec::new();
        while moment < end {
            let local = moment.with_timezone(&self.time_zone).time();
            hours.push((moment, local.hour()));
            moment += TimeDelta::seconds(i64::from(3_600 - local.minute() * 60 - local.second()));
        }
        hours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_business_begins_at_its_hour() {
        let days = BusinessDays {
            time_zone: Tz::Asia__Shanghai,
            starts_at: NaiveTime::from_hms_opt(4, 0, 0).expect("a time of day"),
        };
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).expect("a date");
        for (moment, expected) in [
            ("2026-11-20T19:59:59Z", day(20)),
            ("2026-11-20T20:00:00Z", day(21)),
            ("2026-11-21T15:59:59Z", day(21)),
            ("2026-11-21T16:00:00Z", day(21)),
        ] {
            assert_eq!(days.of(moment.parse().expect("a moment")), expected, "{moment}");
        }
        assert_eq!(days.start(day(21)).to_rfc3339(), "2026-11-20T20:00:00+00:00");
    }

    /// The hours of a day as the wall shows them, and how many minutes each lasts.
    fn hours(time_zone: Tz, starts_at: (u32, u32), day: &str) -> Vec<(u32, i64)> {
        let starts_at = NaiveTime::from_hms_opt(starts_at.0, starts_at.1, 0).expect("a time of day");
        let (days, day): (_, NaiveDate) = (BusinessDays { time_zone, starts_at }, day.parse().expect("a date"));
        let hours = days.hours(day);
        let ends = hours.iter().skip(1).map(|(moment, _)| *moment).chain([days.start(day + Days::new(1))]);
        hours.iter().zip(ends).map(|((moment, hour), end)| (*hour, (end - moment).num_minutes())).collect()
    }

    #[test]
    fn an_hour_ends_on_the_wall_whatever_second_it_begins_at() {
        let starts_at = NaiveTime::from_hms_opt(4, 20, 30).expect("a time of day");
        let hours = BusinessDays { time_zone: Tz::UTC, starts_at }.hours("2026-11-21".parse().expect("a date"));
        assert_eq!(hours[1], ("2026-11-21T05:00:00Z".parse().expect("a moment"), 5));
    }

    #[test]
    fn the_hours_of_a_day_are_those_on_the_wall() {
        let whole = |hours: std::ops::Range<u32>| hours.map(|hour| (hour % 24, 60)).collect::<Vec<_>>();
        assert_eq!(hours(Tz::Asia__Shanghai, (4, 0), "2026-11-21"), whole(4..28));
        let half = [vec![(4, 30)], whole(5..28), vec![(4, 30)]].concat();
        assert_eq!(hours(Tz::Asia__Kolkata, (4, 30), "2026-11-21"), half);
        // Clocks put forward from two to three, back from three to two, and back by half an hour at two.
        assert_eq!(hours(Tz::Europe__Berlin, (0, 0), "2026-03-29"), [whole(0..2), whole(3..24)].concat());
        assert_eq!(hours(Tz::Europe__Berlin, (0, 0), "2026-10-25"), [whole(0..3), whole(2..24)].concat());
        let lord_howe = [whole(0..2), vec![(1, 30)], whole(2..24)].concat();
        assert_eq!(hours(Tz::Australia__Lord_Howe, (0, 0), "2026-04-05"), lord_howe);
    }

    #[test]
    fn a_day_that_begins_in_an_hour_that_comes_twice_begins_once() {
        let days = BusinessDays {
            time_zone: Tz::Europe__Berlin,
            starts_at: NaiveTime::from_hms_opt(2, 30, 0).expect("a time of day"),
        };
        let day = |day| NaiveDate::from_ymd_opt(2026, 10, day).expect("a date");
        for (moment, expected) in
            [("2026-10-25T00:29:59Z", 24), ("2026-10-25T00:30:00Z", 25), ("2026-10-25T01:10:00Z", 25)]
        {
            assert_eq!(days.of(moment.parse().expect("a moment")), day(expected), "{moment}");
        }
    }

    #[test]
    fn a_day_that_begins_in_a_gap_begins_after_it() {
        let days = BusinessDays {
            time_zone: Tz::Europe__Berlin,
            starts_at: NaiveTime::from_hms_opt(2, 30, 0).expect("a time of day"),
        };
        let day = NaiveDate::from_ymd_opt(2026, 3, 29).expect("a date");
        assert_eq!(days.start(day).to_rfc3339(), "2026-03-29T01:00:00+00:00");
        assert_eq!(days.of(days.start(day)), day);
    }
}
