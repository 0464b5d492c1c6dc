//! Floor 4. Dates as templates write them: `strftime_now("%d %b %Y")`. The time is UTC, as that is all that can be known
//! everywhere.
#![forbid(unsafe_code)]

use core::fmt::Write;
use std::format;
use std::string::String;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Seconds since 1970 began.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Writes a moment, in seconds since 1970 began, as C's `strftime` does in the C locale.
///
/// # Errors
/// What is wrong with `format`.
pub(super) fn format(format: &str, moment: u64) -> Result<String, String> {
    let days = moment / 86400;
    let (hour, minute, second) = (moment / 3600 % 24, moment / 60 % 60, moment % 60);
    let (year, month, day) = civil(days);
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[(days as usize + 4) % 7]);
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let directive = rest.next().unwrap_or('%');
        // Writing to a String cannot fail.
        let _ = match directive {
            'Y' => write!(text, "{year}"),
            'y' => write!(text, "{:02}", year % 100),
            'm' => write!(text, "{month:02}"),
            'B' => write!(text, "{month_name}"),
            'b' => write!(text, "{}", &month_name[..3]),
            'd' => write!(text, "{day:02}"),
            'j' => write!(text, "{:03}", days - days_before(year) + 1),
            'A' => write!(text, "{day_name}"),
            'a' => write!(text, "{}", &day_name[..3]),
            'H' => write!(text, "{hour:02}"),
            'I' => write!(text, "{:02}", (hour + 11) % 12 + 1),
            'p' => write!(text, "{}", if hour < 12 { "AM" } else { "PM" }),
            'M' => write!(text, "{minute:02}"),
            'S' => write!(text, "{second:02}"),
            'F' => write!(text, "{year}-{month:02}-{day:02}"),
            'T' => write!(text, "{hour:02}:{minute:02}:{second:02}"),
            'Z' => write!(text, "UTC"),
            '%' => write!(text, "%"),
            other => return Err(format!("strftime_now does not know %{other}")),
        };
    }
    Ok(text)
}

/// Days from the beginning of 1970 to that of `year`.
fn days_before(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

/// Year, month and day of the month of the day that is `days` after 1 January 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // A year is at most 366 days long, so this is not too late, and it is early by no more than some years.
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let is_leap = days_before(year + 1) - days_before(year) == 366;
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut day = days - days_before(year);
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::format;

    /// Expected: Python's `datetime.fromtimestamp(moment, timezone.utc).strftime(...)`.
    #[test]
    fn moments_are_written_as_python_does() {
        let all = "%Y-%m-%d %H:%M:%S %a %A %b %B %j %y %I %p %%";
        for (moment, expected) in [
            (0, "1970-01-01 00:00:00 Thu Thursday Jan January 001 70 12 AM %"),
            (951_826_153, "2000-02-29 12:09:13 Tue Tuesday Feb February 060 00 12 PM %"),
            (1_735_689_599, "2024-12-31 23:59:59 Tue Tuesday Dec December 366 24 11 PM %"),
            (1_753_142_400, "2025-07-22 00:00:00 Tue Tuesday Jul July 203 25 12 AM %"),
            (4_107_542_400, "2100-03-01 00:00:00 Mon Monday Mar March 060 00 12 AM %"),
        ] {
            assert_eq!(format(all, moment).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_directive_that_is_not_known_is_an_error() {
        assert_eq!(format("%d %Q", 0), Err("strftime_now does not know %Q".into()));
        assert_eq!(format("100%", 0).as_deref(), Ok("100%"));
    }
}
