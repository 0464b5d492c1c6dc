//! Floor 3. What a pass over several columns costs, measured while the session runs: how many guesses pay depends on the
//! machine. Where reading the weights takes the time, further columns are nearly free; where arithmetic does, they are not.
#![forbid(unsafe_code)]

use bantam_kernels::backend::NARROW;

/// How long a session takes to read 1 to 16 tokens at once.
#[derive(Clone, Debug)]
pub struct Costs {
    /// Seconds of a pass of `n` columns, at `n - 1`; 0 if there was none yet.
    seconds: [f32; NARROW],
    /// Guesses that are worth it at any price.
    least: usize,
}

/// How much faster than one at a time tokens must be expected to come for a guess to be verified: chances are estimates, and
/// a guess that promises nothing is not worth its risk.
const WORTH: f32 = 1.05;

/// What a further column costs as a share of the first, before anything was measured.
const COLUMN: f32 = 0.15;

impl Costs {
    /// Nothing measured yet; `least` guesses are worth it at any price.
    pub(crate) fn new(least: usize) -> Costs {
        Costs { seconds: [0.0; NARROW], least }
    }

    /// Notes that a pass of `columns` took so long.
    #[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the operating system knows the time"))]
    pub(crate) fn note(&mut self, columns: usize, seconds: f32) {
        let Some(known) = columns.checked_sub(1).and_then(|i| self.seconds.get(i)).copied() else { return };
        // A pass that was held up says nothing about the next, while one that was quick shows what is possible.
        let updated = if known == 0.0 {
            let expected = if self.seconds[0] > 0.0 { self.seconds[0] * self.of(columns) } else { seconds };
            seconds.min(2.0 * expected)
        } else if seconds < known {
            known + (seconds - known) * 0.5
        } else {
            known + (seconds.min(2.0 * known) - known) * 0.05
        };
        self.seconds[columns - 1] = updated;
    }

    /// What a pass of `columns` costs, in passes of one column. What was not measured lies on the line between its
    /// neighbours that were.
    pub fn of(&self, columns: usize) -> f32 {
        let measured = |n: &usize| self.seconds[n - 1] > 0.0;
        let columns = columns.clamp(1, NARROW);
        let one = self.seconds[0];
        if one == 0.0 || columns == 1 {
            return 1.0 + COLUMN * (columns - 1) as f32;
        }
        // There is one below: the pass of one column.
        let below = (1..=columns).rev().find(measured).unwrap_or(1);
        let from = self.seconds[below - 1] / one;
        let slope = match (columns..=NARROW).find(measured) {
            Some(above) if above > below => (self.seconds[above - 1] / one - from) / (above - below) as f32,
            // Behind all that were measured, as steep as from the first column to the last of them.
            _ if below > 1 => ((from - 1.0) / (below - 1) as f32).max(0.0),
            _ => COLUMN,
        };
        from + slope * (columns - below) as f32
    }

    /// How many guesses, the first of which has the first of `chances` to be right, the second the second if the first was,
    /// and so on, make tokens come fastest: 0 if reading one token at a time does, though never fewer than
    /// [`SessionOptions::draft_min`](crate::SessionOptions::draft_min) if there are as many. `each` is what making a guess
    /// costs, in passes of one column.
    pub fn worth(&self, chances: impl Iterator<Item = f32>, each: f32) -> usize {
        // Tokens that a pass gives, the one that is certain included, for what it costs.
        let (mut tokens, mut all_right) = (1.0f32, 1.0f32);
        let (mut best, mut count) = ((WORTH, 0), 0);
        for (i, chance) in chances.take(NARROW - 1).enumerate() {
            count = i + 1;
            all_right *= chance;
            tokens += all_right;
            let rate = tokens / (self.of(i + 2) + each * (i + 1) as f32);
            if rate > best.0 {
                best = (rate, i + 1);
            }
        }
        best.1.max(self.least.min(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::iter::repeat;

    #[test]
    fn likely_guesses_pay_and_unlikely_ones_do_not() {
        let costs = Costs::new(0);
        assert_eq!(costs.worth(repeat(1.0), 0.0), NARROW - 1);
        assert_eq!(costs.worth(repeat(0.1), 0.0), 0);
        assert!((1..NARROW - 1).contains(&costs.worth(repeat(0.6), 0.0)));
        assert_eq!(costs.worth([1.0, 1.0, 0.0, 1.0].into_iter(), 0.0), 2);
        assert_eq!(costs.worth(repeat(1.0), 1.0), 0, "guesses that cost as much as tokens");
        assert_eq!(Costs::new(3).worth(repeat(0.0), 1.0), 3);
        assert_eq!(Costs::new(3).worth([0.0, 0.0].into_iter(), 1.0), 2);
    }

    #[test]
    fn where_columns_cost_as_much_as_passes_no_guess_pays() {
        let mut costs = Costs::new(0);
        for columns in 1..=NARROW {
            (0..20).for_each(|_| costs.note(columns, 0.01 * columns as f32));
        }
        assert_eq!(costs.worth(repeat(0.95), 0.0), 0);
    }

    #[test]
    fn what_was_not_measured_lies_between_what_was() {
        let mut costs = Costs::new(0);
        costs.note(1, 1.0);
        assert_eq!(costs.of(3), 1.3);
        costs.note(5, 2.0);
        assert_eq!((costs.of(1), costs.of(3), costs.of(5), costs.of(9)), (1.0, 1.5, 2.0, 3.0));
        // One pass that was held up changes little; a quick one counts.
        costs.note(5, 1000.0);
        assert!(costs.of(5) < 2.2);
        (0..20).for_each(|_| costs.note(5, 1.25));
        assert!(costs.of(5) < 1.3);
        // Columns that no pass can have are no one's.
        costs.note(0, 1.0);
        costs.note(NARROW + 1, 1.0);
    }
}
