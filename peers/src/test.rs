//! What can be compared, by name: `prefill-N` reads a prompt of N tokens, `decode-N` generates behind N tokens. `prefill` and
//! `decode` alone mean 512.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::Work;

/// One rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Test {
    /// Prompt tokens per second of a prompt of this length.
    Prefill(u32),
    /// Generated tokens per second behind this many tokens.
    Decode(u32),
}

/// The length that goes without saying.
const USUAL: u32 = 512;
/// Up to this length a prompt is a chat's next turn: it is read behind a few others, and often.
const SHORT: u32 = 64;

impl Test {
    /// The tests of the demo model: what a first prompt, chat turns, drafts and long chats use.
    pub(crate) const MANY: [Test; 6] = [
        Test::Prefill(USUAL),
        Test::Decode(USUAL),
        Test::Prefill(4),
        Test::Prefill(8),
        Test::Prefill(16),
        Test::Decode(4096),
    ];
    /// The tests of other models.
    pub(crate) const TWO: [Test; 2] = [Test::Prefill(USUAL), Test::Decode(USUAL)];
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, length) = match self {
            Test::Prefill(length) => ("prefill", *length),
            Test::Decode(depth) => ("decode", *depth),
        };
        let text = if length == USUAL { name.to_owned() } else { format!("{name}-{length}") };
        f.pad(&text)
    }
}

impl FromStr for Test {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, length) = match text.split_once('-') {
            Some((name, length)) => (name, length.parse().with_context(|| format!("{length} is no length"))?),
            None => (text, USUAL),
        };
        ensure!((1..=1_000_000).contains(&length), "a length is 1 to a million, not {length}");
        match name {
            "prefill" => Ok(Test::Prefill(length)),
            "decode" => Ok(Test::Decode(length)),
            _ => bail!("no test {text}; there are prefill, decode, prefill-N and decode-N"),
        }
    }
}

/// What one process measures.
pub(crate) struct Job {
    pub(crate) tests: Vec<Test>,
    pub(crate) work: Work,
    /// Measured runs in the process.
    pub(crate) repeat: u32,
}

impl Job {
    /// The jobs that make up `tests`: generating behind a prompt that is measured too is done behind that prompt.
    pub(crate) fn list(tests: &[Test], generate: u32, threads: u32) -> Vec<Job> {
        let job = |depth, prompt, generate, repeat, tests: &[Test]| Job {
            tests: tests.to_vec(),
            work: Work { depth, prompt, generate, threads: Some(threads) },
            repeat,
        };
        let mut jobs = Vec::new();
        for &test in tests {
            match test {
                Test::Prefill(length) if tests.contains(&Test::Decode(length)) => {
                    jobs.push(job(0, length, generate, 1, &[test, Test::Decode(length)]));
                }
                Test::Prefill(length) if length <= SHORT => {
                    jobs.push(job(SHORT, length, 0, 256 / length, &[test]));
                }
                Test::Prefill(length) => jobs.push(job(0, length, 0, 1, &[test])),
                Test::Decode(depth) if tests.contains(&Test::Prefill(depth)) => {}
                Test::Decode(depth) => jobs.push(job(depth, 0, generate, 1, &[test])),
            }
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for test in Test::MANY {
            assert_eq!(test.to_string().parse::<Test>().unwrap(), test);
        }
        assert_eq!(Test::Decode(4096).to_string(), "decode-4096");
        assert_eq!("prefill-512".parse::<Test>().unwrap().to_string(), "prefill");
        for wrong in ["", "prefill-", "decode-0", "load", "prefill-x"] {
            assert!(wrong.parse::<Test>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prompt_and_what_is_generated_behind_it_are_one_job() {
        let jobs = Job::list(&Test::MANY, 128, 2);
        let shapes: Vec<_> =
            jobs.iter().map(|job| (job.work.depth, job.work.prompt, job.work.generate, job.repeat)).collect();
        assert_eq!(
            shapes,
            [(0, 512, 128, 1), (64, 4, 0, 64), (64, 8, 0, 32), (64, 16, 0, 16), (4096, 0, 128, 1)]
        );
        let tests: Vec<Test> = jobs.into_iter().flat_map(|job| job.tests).collect();
        assert_eq!(tests, Test::MANY);
    }
}
