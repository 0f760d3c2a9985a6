//! What every adapter of the two ports must do, as functions over `dyn Queue` and `dyn Store`, and the embedded adapters
//! put through them. Another adapter joins by a file like `sqlite.rs` or `folder.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that goes wrong shall stop there; the ones in suites are not marked as tests"
)]

mod folder;
mod killed;
mod queue;
mod sqlite;
mod store;

/// Makes one test per function of a suite: `suite!(make, suite, [function, …])`.
macro_rules! suite {
    ($fixture:ident, $suite:ident, [$($name:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = $fixture().await;
                crate::$suite::$name(&fixture).await;
            }
        )*
    };
}
pub(crate) use suite;
