//! Idle means idle: once nothing is asked of it, a pool's workers use no CPU. One test alone in its program, since it reads
//! the CPU time of the process.
#![cfg(all(feature = "std", target_os = "linux"))]
#![forbid(unsafe_code)]

mod common;

use std::time::Duration;

use bantam::{Backend, Format};

use common::tiny::Tiny;
use common::{model, session, tokens};

/// CPU time that all threads of this process have used.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let used = |task: std::fs::DirEntry| {
        let statistics = std::fs::read_to_string(task.path().join("schedstat")).unwrap();
        statistics.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    Duration::from_nanos(tasks.map(|task| used(task.unwrap())).sum())
}

#[test]
fn a_session_that_nobody_asks_uses_no_cpu() {
    let model = model(Tiny::new(Format::Q4_0).bytes(), Backend::detect());
    let mut session = session(&model, 4, 64, 16);
    let tokens = tokens(&model, 20);
    for round in 0..20 {
        session.rewind(0);
        session.prefill(&tokens).unwrap();
        // Workers spin a bounded number of rounds, which takes them longer on a busy machine.
        std::thread::sleep(Duration::from_millis(10 << round.min(6)));
        let before = cpu_time();
        std::thread::sleep(Duration::from_millis(200));
        let used = cpu_time() - before;
        println!("{used:?} of CPU time in 200 ms");
        if used < Duration::from_millis(2) {
            return;
        }
    }
    panic!("the workers never came to rest");
}
