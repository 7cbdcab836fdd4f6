//! How often and after what wait a request is tried again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::{HttpError, Response};

/// The waits between attempts. There is no jitter: a build makes few requests, and its log should read the same twice.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The wait before each further attempt; empty means one attempt only.
    pub delays: Vec<Duration>,
    /// The longest wait that a server may ask for with `Retry-After`; who asks for more is not asked again.
    pub longest: Duration,
}

impl Default for Retry {
    /// Three further attempts, after 0.25, 1 and 2 seconds; `Retry-After` is obeyed up to five minutes.
    fn default() -> Self {
        let delays = [250, 1000, 2000].map(Duration::from_millis).to_vec();
        Self { delays, longest: Duration::from_secs(300) }
    }
}

impl Retry {
    /// One attempt only.
    #[must_use]
    pub fn never() -> Self {
        Self { delays: Vec::new(), longest: Duration::ZERO }
    }

    /// How long to wait before attempt number `tried + 1`, `None` when `outcome` is final.
    #[must_use]
    pub fn wait(&self, tried: usize, outcome: &Result<Response, HttpError>) -> Option<Duration> {
        let delay = *self.delays.get(tried.checked_sub(1)?)?;
        match outcome {
            Ok(response) if is_transient(response.status()) => {
                let wait = response.retry_after().map_or(delay, |asked| asked.max(delay));
                (wait <= self.longest.max(delay)).then_some(wait)
            }
            Ok(_) => None,
            Err(error) => error.is_transient().then_some(delay),
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which is compared with the server's own where it
/// says one, because two clocks seldom agree.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text(DATE).and_then(unix_time).or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    });
    Some(Duration::from_secs(unix_time(asked)?.saturating_sub(now?)))
}

/// Seconds since 1970 of an `IMF-fixdate` (RFC 9110, section 5.6.7), the one form that servers may send; `None` for
/// other texts and for years before 1970.
#[must_use]
pub fn unix_time(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? as u64;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let mut clock = time.split(':').map(str::parse::<u64>);
    let (hours, minutes, seconds) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    Some(((days(year, month) + day - 1) * 24 + hours) * 3600 + minutes * 60 + seconds)
}

/// Days from 1970 to the first of `month` (0 is January) of `year`.
fn days(year: u64, month: u64) -> u64 {
    // Years that start in March end with their leap day.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(retry_after: &str, seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        assert_eq!(asked(&headers), seconds.map(Duration::from_secs), "{retry_after}");
    }

    #[test]
    fn a_server_asks_for_seconds_or_names_a_date() {
        check("120", Some(120));
        check("Sun, 06 Nov 1994 08:51:37 GMT", Some(120));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("Mon, 06 Mar 1995 08:49:37 GMT", Some(120 * 86400));
        for nonsense in ["soon", "-1", "Sun, 06 Nov", "Sun, 06 Foo 1994 08:49:37 GMT", "a, 99 Nov 1994 x GMT"] {
            check(nonsense, None);
        }
    }

    #[test]
    fn dates_are_counted_through_leap_years() {
        assert_eq!(unix_time("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(unix_time("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix_time("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(unix_time("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
    }
}
