//! Loops on more threads than there are cores, with bodies that panic, callers that take turns, executors that misbehave, and
//! pools that are dropped at every moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use bantam_kernels::TileMut;

use super::{Pool, Task};
use crate::cancel::Cancel;
use crate::error::Error;

/// A pool that uses all of its threads, however few CPUs there are.
fn pool(threads: usize) -> crate::error::Result<Pool> {
    Pool::on_cpus(threads, usize::MAX / 2)
}

/// Numbers that jump about, the same in every run.
fn jump(i: usize) -> usize {
    i.wrapping_mul(0x9e37_79b9) >> 7
}

/// Runs a loop and checks that every index came once, on threads that have their own numbers.
fn check_loop(pool: &Pool, len: usize) {
    let calls: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
    let busy: Vec<AtomicBool> = (0..pool.threads()).map(|_| AtomicBool::new(false)).collect();
    pool.each(len, &|i, thread| {
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
        let pool = pool(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        for i in 0..300 {
            check_loop(&pool, jump(i) % 40);
        }
        check_loop(&pool, 1000);
    }
}

#[test]
fn workers_are_woken_from_any_depth_of_sleep() {
    let pool = pool(3).unwrap();
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
    let pool = pool(4).unwrap();
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
        let pool = pool(threads).unwrap();
        for len in [1, 2, 50] {
            for at in [0, len / 2, len - 1] {
                let calls = AtomicUsize::new(0);
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    pool.each(len, &|i, _| {
                        calls.fetch_add(1, Ordering::Relaxed);
                        assert!(i != at, "on purpose");
                    });
                }));
                assert!(outcome.is_err(), "{threads} threads, index {at} of {len}");
                assert!((1..=len).contains(&calls.load(Ordering::Relaxed)));
                check_loop(&pool, 20);
            }
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.each(9, &|_, _| panic!("all of them"))));
        assert!(outcome.is_err());
        check_loop(&pool, 20);
    }
}

#[test]
fn callers_take_turns() {
    let pool = pool(3).unwrap();
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
        let pool = pool(1 + i % 8).unwrap();
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
        let pool = pool(threads).unwrap();
        // Ten values in parts of three: the last value belongs to no part.
        let mut out = [0; 10];
        let mut scratch = vec![0usize; 2 * threads];
        pool.parts((&mut out, 3), &mut scratch, Some(&cancel), &|i, part, own| {
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
        let pool = pool(threads).unwrap();
        let (mut small, mut large) = (vec![0.0; 2 * 5], vec![0.0; 2 * 70]);
        let (mut scratch, mut more) = (vec![0u8; 64 * threads], vec![0.0; 3 * threads]);
        let mut tiles = [TileMut::new(&mut small, 5, 2), TileMut::empty(), TileMut::new(&mut large, 70, 2)];
        pool.tiles(&mut tiles, (32, 2), (&mut scratch, &mut more), &cancel, &|t, from, chunk, own, more| {
            assert_eq!((own.len(), more.len()), (64, 3));
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
    let pool = pool(2).unwrap();
    let mut out = [0.0f32; 64];
    pool.parts((&mut out, 4), &mut [0u8; 0], Some(&cancel), &|_, part, _| part.fill(1.0));
    let mut tiles = [TileMut::new(&mut out, 64, 1)];
    let none = (&mut [0u8; 0][..], &mut [0.0; 0][..]);
    pool.tiles(&mut tiles, (32, 1), none, &cancel, &|_, _, chunk, _, _| chunk.column(0).fill(1.0));
    assert_eq!(out, [0.0; 64]);
}

#[test]
fn threads_change_between_loops_and_at_any_moment() {
    let pool = pool(4).unwrap();
    for i in 0..200 {
        let threads = 1 + jump(i) % 4;
        pool.set_threads(threads).unwrap();
        assert_eq!((pool.threads(), pool.capacity()), (threads, 4));
        pool.each(64, &|_, thread| assert!(thread < threads, "thread {thread} of {threads}"));
        check_loop(&pool, jump(i) % 40);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2000).for_each(|i| pool.set_threads(1 + jump(i) % 4).unwrap()));
        (0..100).for_each(|i| check_loop(&pool, 10 + i));
    });
    for threads in [0, 5, usize::MAX] {
        assert!(matches!(pool.set_threads(threads), Err(Error::Argument(_))), "{threads}");
    }
}

#[test]
fn scratch_is_cut_by_capacity_however_many_threads_are_used() {
    let pool = pool(4).unwrap();
    pool.set_threads(2).unwrap();
    let cancel = Cancel::new().unwrap();
    let (mut out, mut scratch) = ([0u8; 9], [0u8; 8]);
    pool.parts((&mut out, 1), &mut scratch, Some(&cancel), &|_, _, own| assert_eq!(own.len(), 2));
}

/// The nice value of a thread, from behind the name in its line of statistics.
#[cfg(target_os = "linux")]
fn nice(thread: impl std::fmt::Display) -> i32 {
    let line = std::fs::read_to_string(std::format!("/proc/self/task/{thread}/stat")).unwrap();
    let (_, numbers) = line.rsplit_once(')').unwrap();
    numbers.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn priorities_change_between_loops_or_stay_as_they_are() {
    use super::{Priority, priority};

    let pool = pool(3).unwrap();
    let mine = nice(priority::this_thread());
    let mut now = mine;
    for (priority, value) in [(Priority::Low, 10), (Priority::High, -10), (Priority::Normal, 0)] {
        match pool.set_priority(priority) {
            Ok(()) => now = value,
            Err(error) => {
                assert!(matches!(error, Error::Argument(_)), "{error}");
                println!("skipped: {error}");
            }
        }
        let workers: Vec<i32> = pool.worker_ids().map(nice).collect();
        assert_eq!(workers, [now, now]);
        check_loop(&pool, 20);
    }
    assert_eq!(nice(priority::this_thread()), mine);
    std::thread::spawn(|| {
        Priority::Low.set_for_this_thread().unwrap();
        assert_eq!(nice(priority::this_thread()), 10);
    })
    .join()
    .unwrap();
}

/// Every kind of executor that does what it should, or anything else.
fn with_executors(check: impl Fn(Pool)) {
    let threads = 4;
    // Runs its tasks itself, and returns when they are done.
    check(Pool::with_executor(threads, |n, task: Task| (0..n).for_each(|_| task.run())).unwrap());
    // Never runs one.
    check(Pool::with_executor(threads, |_, _: Task| {}).unwrap());
    // Runs each on a thread of its own, twice, and waits for none.
    let twice = |n, task: Task| {
        for task in vec![task; n] {
            std::thread::spawn(move || (0..2).for_each(|_| task.run()));
        }
    };
    check(Pool::with_executor(threads, twice).unwrap());
    // Runs more than were asked for, and waits for all.
    let more = |n, task: Task| {
        std::thread::scope(|scope| {
            (0..2 * n).for_each(|_| {
                scope.spawn(|| task.run());
            });
        });
    };
    check(Pool::with_executor(threads, more).unwrap());
    // Two threads that keep running the tasks of past loops, until a while after the pool is gone.
    let (sender, receiver) = std::sync::mpsc::channel::<Task>();
    let late = std::thread::spawn(move || {
        while let Ok(task) = receiver.recv() {
            std::thread::scope(|scope| {
                (0..2).for_each(|_| {
                    scope.spawn(|| (0..50).for_each(|_| task.run()));
                });
            });
        }
    });
    let sender = std::sync::Mutex::new(sender);
    check(
        Pool::with_executor(threads, move |_, task: Task| sender.lock().unwrap().send(task).unwrap())
            .unwrap(),
    );
    late.join().unwrap();
}

#[test]
fn whatever_an_executor_does_every_index_comes_once() {
    with_executors(|pool| {
        assert_eq!((pool.threads(), pool.capacity()), (4, 4));
        for i in 0..40 {
            check_loop(&pool, jump(i) % 40);
        }
        pool.set_threads(2).unwrap();
        pool.each(64, &|_, thread| assert!(thread < 2, "thread {thread} of 2"));
        assert!(matches!(pool.set_priority(super::Priority::Low), Err(Error::Unsupported(_))));
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.each(9, &|_, _| panic!("on purpose"))));
        assert!(outcome.is_err());
        check_loop(&pool, 20);
    });
}

#[test]
fn a_task_outlives_its_pool_and_does_nothing_then() {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = kept.clone();
    let pool = Pool::with_executor(3, move |_, task: Task| *keep.lock().unwrap() = Some(task)).unwrap();
    check_loop(&pool, 20);
    let task = kept.lock().unwrap().take().unwrap();
    task.run();
    drop(pool);
    task.run();
}

#[test]
fn an_executor_that_panics_is_passed_on_behind_the_loop() {
    let pool = Pool::with_executor(3, |n, task: Task| {
        task.run();
        assert!(n == 1, "on purpose");
    })
    .unwrap();
    let calls = AtomicUsize::new(0);
    let count = |_, _| {
        calls.fetch_add(1, Ordering::Relaxed);
    };
    assert!(catch_unwind(AssertUnwindSafe(|| pool.each(20, &count))).is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 20);
    pool.set_threads(2).unwrap();
    check_loop(&pool, 20);
}

#[test]
fn a_slow_thread_holds_no_more_than_it_has_claimed() {
    for threads in [2, 4] {
        let pool = pool(threads).unwrap();
        let (len, range) = (64 * threads, 64);
        let others = AtomicUsize::new(0);
        let slow = AtomicBool::new(false);
        pool.each(len, &|_, thread| {
            if thread != 1 {
                others.fetch_add(1, Ordering::SeqCst);
            } else if !slow.swap(true, Ordering::SeqCst) {
                // It goes on when the others have done all that is not in its hands: a quarter of its range.
                while others.load(Ordering::SeqCst) < len - range / 4 {
                    std::thread::yield_now();
                }
            }
        });
    }
}

#[test]
fn there_are_no_more_threads_at_work_than_cpus() {
    let pool = Pool::on_cpus(8, 2).unwrap();
    for _ in 0..50 {
        pool.each(100, &|_, thread| assert!(thread < 2, "thread {thread} of 8 on 2 CPUs"));
    }
    check_loop(&pool, 40);
}
