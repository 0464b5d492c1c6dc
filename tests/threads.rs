//! The threads of a session are its owner's business: how many there are may change between two tokens, and they may be lent
//! by an executor; the answer stays the same to the last bit, and memory is what was planned.
#![cfg(feature = "std")]
#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;

use bantam::{Backend, Format, Model, Pool, Session, Task};

use common::tiny::Tiny;
use common::{bits, model, sized, tokens};

/// Reads a prompt and ten tokens on a pool, which is changed by `change` before each call; the bits of all logits.
fn read(model: &Model, pool: Pool, change: impl Fn(&Pool, usize)) -> Vec<Vec<u32>> {
    let options = sized(64, 24);
    let planned = Session::plan(model, &options, pool.capacity()).unwrap();
    let pool = Arc::new(pool);
    let mut session = Session::open(model, pool.clone(), &options).unwrap();
    let tokens = tokens(model, 40);
    change(&pool, 0);
    session.prefill(&tokens[..30]).unwrap();
    let mut all = vec![bits(&session)];
    for (i, &token) in tokens[30..].iter().enumerate() {
        change(session.pool(), i + 1);
        session.decode(token).unwrap();
        all.push(bits(&session));
    }
    assert_eq!(session.memory(), planned);
    all
}

fn models() -> Vec<Model> {
    let wide = Tiny { dim: 96, ffn: 1184, heads: 6, kv_heads: 6, tied: false, ..Tiny::new(Format::Q4_0) };
    [wide, Tiny::new(Format::Q4_K)].map(|tiny| model(tiny.bytes(), Backend::detect())).into()
}

#[test]
fn the_number_of_threads_changes_between_two_tokens_and_nothing_else_does() {
    for model in models() {
        let one = read(&model, Pool::new(1).unwrap(), |_, _| {});
        let changing = read(&model, Pool::new(4).unwrap(), |pool, i| {
            pool.set_threads(1 + i % 4).unwrap();
            assert_eq!(pool.threads(), 1 + i % 4);
        });
        assert!(changing == one, "{model:?}");
    }
}

#[test]
fn threads_of_an_executor_give_the_same_bits() {
    for model in models() {
        let one = read(&model, Pool::new(1).unwrap(), |_, _| {});
        let lent = Pool::with_executor(5, |n, task: Task| {
            std::thread::scope(|scope| {
                for _ in 0..n {
                    scope.spawn(|| task.run());
                }
            });
        });
        assert!(read(&model, lent.unwrap(), |_, _| {}) == one, "{model:?}");
        let never = Pool::with_executor(3, |_, _: Task| {});
        assert!(read(&model, never.unwrap(), |_, _| {}) == one, "{model:?}");
    }
}
