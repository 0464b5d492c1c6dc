//! How long a piece of work takes that several threads do at once, each on its own.
#![forbid(unsafe_code)]

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long a sample should take.
const SAMPLE: Duration = Duration::from_millis(20);
/// Of so many samples the median counts.
const SAMPLES: usize = 5;
/// Work that takes longer than this is done once.
const PATIENCE: Duration = Duration::from_millis(200);

/// The work of one thread, to be done again and again.
pub(super) type Work<'a> = Box<dyn FnMut() + 'a>;

/// Seconds in which all threads did their work once.
pub(super) struct Seconds {
    /// In most samples: what a kernel takes.
    pub(super) median: f64,
    /// In the best: what the machine can do.
    pub(super) least: f64,
}

/// How long `threads` threads need to do their work once; `make` makes the work of a thread.
pub(super) fn seconds<'a>(threads: usize, make: &(dyn Fn(usize) -> Work<'a> + Sync)) -> Seconds {
    let runs = {
        let mut work = make(0);
        // The first time brings code and memory near; the second tells how often makes a sample.
        let cold = once(&mut work);
        if cold > PATIENCE && threads == 1 {
            let seconds = cold.as_secs_f64();
            return Seconds { median: seconds, least: seconds };
        }
        let warm = once(&mut work).max(Duration::from_nanos(1));
        (SAMPLE.as_secs_f64() / warm.as_secs_f64()).ceil().clamp(1.0, 1e7) as u32
    };
    let barrier = Barrier::new(threads);
    let sample = |thread| {
        let mut work = make(thread);
        work();
        let mut samples: Vec<f64> = (0..SAMPLES)
            .map(|_| {
                barrier.wait();
                let start = Instant::now();
                (0..runs).for_each(|_| work());
                // The slowest thread ends the sample.
                barrier.wait();
                start.elapsed().as_secs_f64() / f64::from(runs)
            })
            .collect();
        samples.sort_by(f64::total_cmp);
        Seconds { median: samples[SAMPLES / 2], least: samples[0] }
    };
    std::thread::scope(|scope| {
        for thread in 1..threads {
            let sample = &sample;
            scope.spawn(move || sample(thread));
        }
        sample(0)
    })
}

fn once(work: &mut Work<'_>) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
