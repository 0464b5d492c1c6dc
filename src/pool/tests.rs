//! Loops on more threads than there are cores, with bodies that panic, callers that take turns, and pools that are dropped
//! at every moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use bantam_kernels::TileMut;

use super::Pool;
use crate::cancel::Cancel;
use crate::error::Error;

/// Numbers that jump about, the same in every run.
fn jump(i: usize) -> usize {
    i.wrapping_mul(0x9e37_79b9) >> 7
}

/// Runs a loop and checks that every index came once, on threads that have their own numbers.
fn check_loop(pool: &Pool, len: usize) {
    let calls: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
    let busy: Vec<AtomicBool> = (0..pool.threads()).map(|_| AtomicBool::new(false)).collect();
    pool.run(len, &|i, thread| {
        assert!(!busy[thread].swap(true, Ordering::Acquire), "two calls at once as thread {thread}");
        calls[i].fetch_add(1, Ordering::Relaxed);
        // Some calls take longer, and some long enough for the others to park.
        match i % 64 {
            63 => sleep(Duration::from_micros(300)),
            n => (0..n).for_each(|_| core::hint::spin_loop()),
        }
        busy[thread].store(false, Ordering::Release);
    });
    assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "a loop of {len}");
}

#[test]
fn every_index_comes_once_on_any_number_of_threads() {
    for threads in 1..=8 {
        let pool = Pool::new(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        for i in 0..300 {
            check_loop(&pool, jump(i) % 40);
        }
        check_loop(&pool, 1000);
    }
}

#[test]
fn workers_are_woken_from_any_depth_of_sleep() {
    let pool = Pool::new(3).unwrap();
    for i in 0..400 {
        // From none at all to longer than workers spin, so that loops come while they are about to park.
        let pause = jump(i) % 500;
        if pause > 250 {
            sleep(Duration::from_micros(pause as u64));
        } else {
            (0..pause * 20).for_each(|_| core::hint::spin_loop());
        }
        check_loop(&pool, 3 + i % 5);
    }
}

#[test]
fn what_a_loop_wrote_is_seen_behind_it() {
    let pool = Pool::new(4).unwrap();
    let mut values = vec![0usize; 512];
    for round in 1..200 {
        pool.columns(&mut values, 8, &|c, column| {
            for (i, value) in column.iter_mut().enumerate() {
                *value += round + c * 8 + i;
            }
        });
        let rounds = round * (round + 1) / 2;
        assert!(values.iter().enumerate().all(|(i, value)| *value == rounds + round * i), "round {round}");
    }
}

#[test]
fn a_panic_is_passed_on_and_the_pool_stays_usable() {
    for threads in [1, 2, 4] {
        let pool = Pool::new(threads).unwrap();
        for len in [1, 2, 50] {
            for at in [0, len / 2, len - 1] {
                let calls = AtomicUsize::new(0);
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(len, &|i, _| {
                        calls.fetch_add(1, Ordering::Relaxed);
                        assert!(i != at, "on purpose");
                    });
                }));
                assert!(outcome.is_err(), "{threads} threads, index {at} of {len}");
                assert!((1..=len).contains(&calls.load(Ordering::Relaxed)));
                check_loop(&pool, 20);
            }
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(9, &|_, _| panic!("all of them"))));
        assert!(outcome.is_err());
        check_loop(&pool, 20);
    }
}

#[test]
fn callers_take_turns() {
    let pool = Pool::new(3).unwrap();
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for i in 0..100 {
                    check_loop(pool, jump(i + caller) % 30);
                }
            });
        }
    });
}

#[test]
fn a_pool_is_dropped_at_any_moment() {
    for i in 0..60 {
        let pool = Pool::new(1 + i % 8).unwrap();
        if i % 3 > 0 {
            check_loop(&pool, i);
        }
        if i % 3 == 2 {
            // Long enough for the workers to park.
            sleep(Duration::from_millis(2));
        }
        drop(pool);
    }
}

#[test]
fn a_number_of_threads_that_makes_no_sense_is_an_error() {
    for threads in [0, 65_536, usize::MAX] {
        assert!(matches!(Pool::new(threads).map(drop), Err(Error::Argument(_))), "{threads}");
    }
}

#[test]
fn parts_cover_what_they_are_cut_from() {
    let cancel = Cancel::new().unwrap();
    for threads in [1, 3] {
        let pool = Pool::new(threads).unwrap();
        // Ten values in parts of three: the last value belongs to no part.
        let mut out = [0; 10];
        let mut scratch = vec![0usize; 2 * threads];
        pool.parts((&mut out, 3), &mut scratch, &cancel, &|i, part, own| {
            assert_eq!((part.len(), own.len()), (3, 2));
            own[0] += 1;
            part.fill(i + 1);
        });
        assert_eq!(out, [1, 1, 1, 2, 2, 2, 3, 3, 3, 0]);
        assert_eq!(scratch.iter().step_by(2).sum::<usize>(), 3);

        let (mut a, mut b, mut c) = ([0; 8], [0; 4], [0u8; 0]);
        pool.zip(4, (&mut a, 2), (&mut b, 1), (&mut c, 0), &|i, a, b, c| {
            a.fill(i);
            b.fill(10 + i);
            assert!(c.is_empty());
        });
        assert_eq!((a, b), ([0, 0, 1, 1, 2, 2, 3, 3], [10, 11, 12, 13]));
        // More parts than there are is a mistake of ours, and never another's memory.
        let beyond = catch_unwind(AssertUnwindSafe(|| {
            pool.zip(5, (&mut a, 2), (&mut b, 1), (&mut c, 0), &|_, _, _, _| {});
        }));
        assert!(beyond.is_err());
    }
}

#[test]
fn tiles_are_cut_into_chunks_that_cover_them() {
    let cancel = Cancel::new().unwrap();
    for threads in [1, 3] {
        let pool = Pool::new(threads).unwrap();
        let (mut small, mut large) = (vec![0.0; 2 * 5], vec![0.0; 2 * 70]);
        let mut scratch = vec![0u8; 64 * threads];
        let mut tiles = [TileMut::new(&mut small, 5, 2), TileMut::empty(), TileMut::new(&mut large, 70, 2)];
        pool.tiles(&mut tiles, 32, &mut scratch, &cancel, &|t, from, chunk, own| {
            assert_eq!(own.len(), 64);
            for c in 0..chunk.cols() {
                for (r, value) in chunk.column(c).iter_mut().enumerate() {
                    *value += (1000 * t + 100 * c + from + r) as f32;
                }
            }
        });
        let expected = |t: usize, rows: usize| {
            (0..2).flat_map(move |c| (0..rows).map(move |r| (1000 * t + 100 * c + r) as f32))
        };
        assert!(small.iter().copied().eq(expected(0, 5)));
        assert!(large.iter().copied().eq(expected(2, 70)));
    }
}

#[test]
fn a_cancelled_loop_calls_nothing() {
    let cancel = Cancel::new().unwrap();
    cancel.cancel();
    let pool = Pool::new(2).unwrap();
    let mut out = [0.0f32; 64];
    pool.parts((&mut out, 4), &mut [0u8; 0], &cancel, &|_, part, _| part.fill(1.0));
    let mut tiles = [TileMut::new(&mut out, 64, 1)];
    pool.tiles(&mut tiles, 32, &mut [], &cancel, &|_, _, chunk, _| chunk.column(0).fill(1.0));
    assert_eq!(out, [0.0; 64]);
}
