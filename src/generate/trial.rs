//! Floor 5. Drawing a token that a rule allows. What the model would say by itself is allowed more often than not, and finding
//! that out takes a fraction of finding all that is: so it is drawn first, and only if it is refused, one is drawn of those that are
//! allowed. With a softmax alone the two ways have the same distribution; with samplers that narrow, the first is llama.cpp's.
//!
//! Invariant: whether it is tried depends on the answer so far and on nothing else, so that a seed gives one answer.
#![forbid(unsafe_code)]

use super::Constrain;
use crate::error::Result;
use crate::sample::{Choice, Sampler};
use crate::session::Session;

/// How much the latest trial counts among all before it.
const LATEST: f32 = 0.125;
/// Below this share of trials that come out well, the draws for nothing cost more than the others save.
const WORTH: f32 = 0.25;
/// So many tokens later it is tried all the same.
const AGAIN: u32 = 8;

/// How trials of an answer came out.
pub(super) struct Trials {
    /// The share that was allowed, of late.
    share: f32,
    /// Tokens since the last one.
    since: u32,
}

impl Trials {
    pub(super) fn new() -> Trials {
        Trials { share: 1.0, since: 0 }
    }

    /// Draws a token that `rule` allows.
    pub(super) fn choose(
        &mut self,
        session: &mut Session,
        sampler: &mut Sampler,
        rule: &mut (dyn Constrain + Send),
    ) -> Result<Choice> {
        self.since += 1;
        if self.share >= WORTH || self.since > AGAIN {
            self.since = 0;
            let before = sampler.clone();
            let choice = session.choose(sampler, None)?;
            let is_allowed = rule.allows(choice.token)?;
            self.share += LATEST * (f32::from(u8::from(is_allowed)) - self.share);
            if is_allowed {
                return Ok(choice);
            }
            sampler.unlearn(&before);
        }
        let allowed = rule.allowed()?;
        session.choose(sampler, allowed)
    }
}
