//! Floor 2. How many threads a loop is worth sharing out to, when others want the cores as well.
//!
//! A helper that loses its core in the middle of its work holds up the whole loop, for milliseconds at a time. So a loop
//! never takes more threads than there are CPUs for them; and when a helper was waited for much longer than it should have
//! taken, the loops that follow take one thread less for a while, and for longer each time that it happens again.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// A helper that is waited for this long has probably lost its core: systems take one away for milliseconds.
const LOST: Duration = Duration::from_micros(500);
/// How long a thread is left out at first, and at most.
const PENALTY: Duration = Duration::from_millis(10);
const PENALTY_MAX: Duration = Duration::from_millis(320);

/// The threads that have cores, as far as is known.
pub(super) struct Crowd {
    /// CPUs that the process may use.
    cpus: usize,
    /// Threads left out of loops.
    absent: usize,
    /// How long a thread is left out, or was before it came back.
    penalty: Duration,
    /// When the next thread comes back, or may be trusted again.
    until: Instant,
}

impl Crowd {
    /// Threads that share `cpus` CPUs.
    pub(super) fn new(cpus: usize) -> Crowd {
        Crowd { cpus, absent: 0, penalty: Duration::ZERO, until: Instant::now() }
    }

    /// How many threads loops should use that may use `most`: at least one.
    pub(super) fn threads(&mut self, most: usize, now: Instant) -> usize {
        if self.absent > 0 && now >= self.until {
            self.absent -= 1;
            self.until = now + self.penalty;
        }
        most.min(self.cpus).saturating_sub(self.absent).max(1)
    }

    /// A loop that may use `most` threads had to be `waited` for after the caller had `worked` on it.
    pub(super) fn waited(&mut self, most: usize, worked: Duration, waited: Duration, now: Instant) {
        if waited < LOST || waited < worked {
            return;
        }
        let again = now < self.until;
        self.penalty = if again { (self.penalty * 2).clamp(PENALTY, PENALTY_MAX) } else { PENALTY };
        self.absent = (self.absent + 1).min(most.min(self.cpus).saturating_sub(1));
        self.until = now + self.penalty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn no_more_threads_than_cpus() {
        let mut crowd = Crowd::new(2);
        let now = Instant::now();
        assert_eq!([0, 1, 2, 3, 64].map(|wanted| crowd.threads(wanted, now)), [1, 1, 2, 2, 2]);
    }

    #[test]
    fn a_thread_that_lost_its_core_is_left_out_for_a_while_and_longer_the_next_time() {
        let mut crowd = Crowd::new(4);
        let start = Instant::now();
        let mut left_out = |from: u32, to: u32| {
            crowd.waited(4, MS, 3 * MS, start + from * MS);
            assert_eq!(crowd.threads(8, start + (to - 1) * MS), 3);
            assert_eq!(crowd.threads(8, start + to * MS), 4);
        };
        left_out(0, 10);
        // Soon again: twice as long.
        left_out(19, 39);
        left_out(58, 98);
        // After as long a time as it was left out: as at first.
        left_out(138, 148);
    }

    #[test]
    fn threads_leave_one_by_one_and_come_back_so() {
        let mut crowd = Crowd::new(4);
        let start = Instant::now();
        for left in [3, 2, 1, 1] {
            crowd.waited(8, MS, 10 * MS, start);
            assert_eq!(crowd.threads(8, start), left);
        }
        let day = Duration::from_secs(86_400);
        assert_eq!([1, 2, 3, 4].map(|days| crowd.threads(4, start + day * days)), [2, 3, 4, 4]);
    }

    #[test]
    fn a_thread_that_works_is_waited_for() {
        let mut crowd = Crowd::new(2);
        let start = Instant::now();
        // A slow core on a wide product, and the noise of a short loop.
        crowd.waited(2, 30 * MS, 20 * MS, start);
        crowd.waited(2, Duration::from_micros(5), Duration::from_micros(300), start);
        assert_eq!(crowd.threads(2, start), 2);
    }
}
