//! Ctrl-C and `kill` while something runs in the foreground.

use super::End;
use crate::error::{Error, Result};
use crate::http::Cancel;
use crate::threads;
use std::future::poll_fn;
use std::task::Poll;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Asks the work to end at the first signal; the process ends at the second.
pub fn cancel_on_signal(cancel: &Cancel) -> Result<()> {
    let failed = |error| Error::disk("listening for signals", error);
    let runtime = runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        (interrupt, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let cancel = cancel.clone();
    let wait = move || -> () {
        runtime.block_on(async {
            loop {
                poll_fn(|cx| {
                    let came = [&mut interrupt, &mut terminate].map(|each| each.poll_recv(cx));
                    if came.iter().any(Poll::is_ready) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                if cancel.is_cancelled() {
                    std::process::exit(End::Failed as i32);
                }
                cancel.cancel();
            }
        })
    };
    threads::named("signals").spawn(wait).map_err(failed)?;
    Ok(())
}
