//! What every adapter of the two ports must do, as functions over `dyn Queue` and `dyn Store`, and the adapters put through
//! them: each is a row, opened by its URL. `TRUNKLINE_TEST_QUEUE` and `TRUNKLINE_TEST_STORE` add any real one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that goes wrong shall stop there; the ones in suites are not marked as tests"
)]

mod faults;
mod folder;
mod killed;
mod logs;
mod ministack;
mod queue;
mod queue_rows;
mod s3;
mod script;
mod secrets;
mod sqlite;
mod sqs;
mod store;
mod store_rows;
mod streams;

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;

/// The checks that a service fails, by name, with the reason. They must fail there: one that passes has been mended, and
/// leaves the list.
pub(crate) type Wrong = &'static [(&'static str, &'static str)];

/// Makes one test per function of a suite, on one row: `suite!(make, suite, [function, …])`.
macro_rules! suite {
    ($make:path, $suite:ident, [$($name:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(row) = $make().await else { return };
                let wrong = row.wrong();
                crate::run(stringify!($name), wrong, crate::$suite::$name(&row)).await;
                row.close().await;
            }
        )*
    };
}
pub(crate) use suite;

/// Runs a check, the other way round when the service is known to fail it.
pub(crate) async fn run(name: &str, wrong: Wrong, check: impl Future<Output = ()>) {
    let Some((_, reason)) = wrong.iter().find(|(known, _)| *known == name) else {
        return check.await;
    };
    let failed = AssertUnwindSafe(check).catch_unwind().await.is_err();
    println!("known to fail here: {reason}");
    assert!(failed, "it passes now: take {name} off the list");
}

mod queue_sqlite {
    crate::queue::queue_suite!(crate::queue_rows::sqlite);
}

mod queue_sqs_ministack {
    crate::queue::queue_suite!(crate::queue_rows::sqs_ministack);
}

mod queue_of_the_environment {
    crate::queue::queue_suite!(crate::queue_rows::of_the_environment);
}

mod store_folder {
    crate::store::store_suite!(crate::store_rows::folder);
}

mod store_s3_ministack {
    crate::store::store_suite!(crate::store_rows::s3_ministack);
}

mod store_of_the_environment {
    crate::store::store_suite!(crate::store_rows::of_the_environment);
}
