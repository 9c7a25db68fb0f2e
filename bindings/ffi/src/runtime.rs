//! The one runtime of the process. It is never dropped, so nothing that an app lets go of can take it along.

use crate::error::{KeepsyncError, Result};
use once_cell::sync::Lazy;
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

static RUNTIME: Lazy<std::io::Result<Runtime>> = Lazy::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("keepsync")
        .enable_all()
        .build()
});

pub(crate) fn runtime() -> Result<&'static Runtime> {
    RUNTIME
        .as_ref()
        .map_err(|error| keepsync::Error::Internal(format!("no runtime: {:?}", error.kind())).into())
}

/// What is being carried out. In a box: tokio's code for a task and the code around a call are kilobytes for each type
/// of future, and each call has a type of its own; boxed, the library is 0.4 MiB smaller (2026-11-21).
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Carries it out to its end, whatever becomes of who asked. A panic is an internal error.
///
/// 1. On the caller's thread, as far as it goes at once: what is to be written is then with the writer already, which works
///    while the rest of this is set up. Nothing waits here, and nobody is woken from here.
/// 2. On the runtime from there on, to its end. It is also the runtime that wakes the caller: whatever that runs must not
///    hold up the thread that writes.
pub(crate) fn run<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Work<Result<T>> {
    run_boxed(Box::pin(work), false)
}

/// The same, but who gives up on it ends it.
pub(crate) fn run_while_asked<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Work<Result<T>> {
    run_boxed(Box::pin(work), true)
}

fn run_boxed<T: Send + 'static>(work: Work<Result<T>>, while_asked: bool) -> Work<Result<T>> {
    let done = Arc::new(Mutex::new(None));
    let inside = Arc::clone(&done);
    let task = carried_out(
        Box::pin(async move {
            let result = work.await;
            *lock(&inside) = Some(result);
        }),
        while_asked,
    );
    Box::pin(async move {
        task.await?;
        lock(&done).take().unwrap_or_else(|| Err(panicked()))
    })
}

fn carried_out(mut work: Work<()>, while_asked: bool) -> Work<Result<()>> {
    Box::pin(async move {
        let runtime = runtime()?;
        if begun(runtime, &mut work)?.is_ready() {
            return Ok(());
        }
        let mut task = Task {
            handle: runtime.spawn(work),
            while_asked,
        };
        (&mut task.handle).await.map_err(|_| panicked())
    })
}

/// The first step of it, here and now. The runtime takes the second at once, so nothing is missed by telling nobody.
fn begun(runtime: &Runtime, work: &mut Work<()>) -> Result<Poll<()>> {
    let _inside = runtime.enter();
    let mut nobody = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut nobody))).map_err(|_| panicked())
}

fn panicked() -> KeepsyncError {
    keepsync::Error::Internal("a call panicked".to_owned()).into()
}

/// Ends with its caller, or goes on without.
struct Task {
    handle: JoinHandle<()>,
    while_asked: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.while_asked {
            self.handle.abort();
        }
    }
}

/// Carries it out on the caller's thread, which waits. Two changes of thread are saved: whoever did the work wakes the
/// caller itself, and nobody has to be told to go on.
pub(crate) fn run_here<T>(mut work: Work<Result<T>>) -> Result<T> {
    let _inside = runtime()?.enter();
    let waker = Waker::from(Arc::new(Caller(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(answer)) => return answer,
            // Woken for nothing, it looks and waits again.
            Ok(Poll::Pending) => std::thread::park(),
            Err(_) => return Err(panicked()),
        }
    }
}

struct Caller(Thread);

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs the app's own code on a thread where it can do no harm by taking its time. `None`: it panicked.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = Arc::new(Mutex::new(None));
    let inside = Arc::clone(&done);
    let work: Box<dyn FnOnce() + Send> = Box::new(move || {
        let result = work();
        *lock(&inside) = Some(result);
    });
    runtime().ok()?.spawn_blocking(work).await.ok()?;
    lock(&done).take()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn internal<T: std::fmt::Debug>(answer: Result<T>) -> bool {
        let KeepsyncError::Failed { code, .. } = answer.unwrap_err();
        code == "internal"
    }

    #[tokio::test]
    async fn what_runs_goes_on_when_its_caller_has_gone() {
        let (begin, begun) = oneshot::channel::<()>();
        let (finish, finished) = oneshot::channel();
        let (started, has_started) = oneshot::channel();
        let asked = run(async move {
            let _ = started.send(());
            let _ = begun.await;
            let _ = finish.send(());
            Ok(())
        });
        tokio::select! {
            _ = asked => unreachable!("it waits for its beginning"),
            _ = has_started => {}
        }
        begin.send(()).unwrap();
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn it_begins_where_it_is_asked_for_and_goes_on_here() {
        let begins = run(async { Ok(std::thread::current().id()) });
        assert_eq!(begins.await.unwrap(), std::thread::current().id());
        let goes_on = run(async {
            tokio::task::yield_now().await;
            Ok(std::thread::current().name() == Some("keepsync"))
        });
        assert!(goes_on.await.unwrap());
    }

    #[tokio::test]
    async fn what_is_waited_for_ends_with_its_caller() {
        let (kept, dropped) = oneshot::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let asked = run_while_asked(async move {
            let _ = started.send(());
            let _kept = kept;
            std::future::pending::<Result<()>>().await
        });
        tokio::select! {
            _ = asked => unreachable!("it never ends"),
            _ = has_started => {}
        }
        assert!(dropped.await.is_err(), "ended, and what it held is gone");
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_costs_nothing_else() {
        assert!(internal(run::<()>(async { panic!("on purpose") }).await));
        assert!(internal(run_while_asked::<()>(async { panic!("on purpose") }).await));
        assert_eq!(aside(|| panic!("on purpose")).await, None::<()>);
        assert_eq!(run(async { Ok(7) }).await.unwrap(), 7);
        assert_eq!(aside(|| 7).await, Some(7));
    }

    #[test]
    fn what_is_waited_for_here_is_done_here_however_often_it_is_woken() {
        let (answer, answered) = oneshot::channel();
        let here = std::thread::current();
        std::thread::spawn(move || {
            for _ in 0..100 {
                here.unpark();
            }
            let _ = answer.send(7);
        });
        let here = std::thread::current().id();
        let given = run_here(Box::pin(async move {
            tokio::task::yield_now().await;
            let given = answered.await.map_err(|_| KeepsyncError::closed())?;
            // What needs the runtime has it.
            tokio::time::timeout(std::time::Duration::from_secs(60), async {})
                .await
                .map_err(|_| KeepsyncError::closed())?;
            Ok((given, std::thread::current().id() == here))
        }));
        assert_eq!(given, Ok((7, true)));
        assert!(internal(run_here::<()>(Box::pin(async { panic!("on purpose") }))));
        assert_eq!(
            run_here(Box::pin(async { Err::<(), _>(KeepsyncError::closed()) })),
            Err(KeepsyncError::closed())
        );
    }

    #[tokio::test]
    async fn an_error_comes_back_as_it_was() {
        let closed = || KeepsyncError::closed();
        assert_eq!(run(async move { Err::<(), _>(closed()) }).await, Err(closed()));
    }
}
