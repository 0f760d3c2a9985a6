//! Running MiniStack servers, each used by one test at a time: tests move its clock.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::Mutex,
};

use dev::MiniStack;
use platform::aws::Access;

/// Those that no test uses at the moment. They end with this process.
static IDLE: Mutex<Vec<MiniStack>> = Mutex::new(Vec::new());

/// What a MiniStack takes as its keys.
pub(crate) fn access() -> Access {
    Access::Keys {
        id: MiniStack::KEY.to_owned(),
        secret: MiniStack::KEY.into(),
    }
}

/// A MiniStack for one test.
pub(crate) struct Lent(Option<MiniStack>);

pub(crate) async fn lend() -> Lent {
    let idle = IDLE.lock().unwrap().pop();
    borrow(idle).await
}

/// One whose clock no test has moved: where it moves, `Date` goes with it and the dates of objects do not.
pub(crate) async fn lend_on_time() -> Lent {
    let idle = {
        let mut idle = IDLE.lock().unwrap();
        let on_time = idle.iter().position(|server| server.advanced_by().is_zero());
        on_time.map(|place| idle.swap_remove(place))
    };
    borrow(idle).await
}

async fn borrow(idle: Option<MiniStack>) -> Lent {
    if idle.is_some() {
        return Lent(idle);
    }
    // A static is not dropped, so nothing would remove a temporary folder.
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ministack-{:016x}", rand::random::<u64>()));
    Lent(Some(MiniStack::start(Some(&folder)).await.unwrap()))
}

impl Deref for Lent {
    type Target = MiniStack;

    fn deref(&self) -> &MiniStack {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut MiniStack {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        IDLE.lock().unwrap().extend(self.0.take());
    }
}
