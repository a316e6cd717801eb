//! Finds a shorter history that breaks the same promise.

use super::play::{Broken, play, play_twice};
use super::script::{Script, Step};

/// Histories that are tried.
const MOST_TRIES: u32 = 600;

/// The shortest history found that breaks the promise, and how it breaks it.
pub fn shrink(script: &Script, broken: &Broken) -> (Script, Broken) {
    let mut best = (script.clone(), broken.clone());
    let mut tries = 0;
    let mut shorter = true;
    while shorter && tries < MOST_TRIES {
        shorter = false;
        let mut at = best.0.steps.len();
        while at > 0 && tries < MOST_TRIES {
            at -= 1;
            for simpler in simpler(&best.0, at) {
                tries += 1;
                if let Err(broken) = judge(&simpler, broken.promise)
                    && broken.promise == best.1.promise
                {
                    best = (simpler, broken);
                    shorter = true;
                    break;
                }
            }
            at = at.min(best.0.steps.len());
        }
        let mut calmer = best.0.clone();
        if calmer.world.workers > 1 {
            calmer.world.workers = 1;
            tries += 1;
            if let Err(broken) = judge(&calmer, broken.promise)
                && broken.promise == best.1.promise
            {
                best = (calmer, broken);
            }
        }
    }
    best
}

/// What a history breaks where this promise is in question.
fn judge(script: &Script, promise: &str) -> Result<(), Broken> {
    if promise == "P9" { play_twice(script) } else { play(script, None) }
}

/// The same without one step, or with less in it.
fn simpler(script: &Script, at: usize) -> Vec<Script> {
    let mut all = Vec::new();
    let mut without = script.clone();
    without.steps.remove(at);
    all.push(without);
    if let Some(Step::Cycle { look, meanwhile }) = script.steps.get(at) {
        for number in 0..meanwhile.len() {
            let mut fewer = meanwhile.clone();
            fewer.remove(number);
            let mut less = script.clone();
            less.steps[at] = Step::Cycle { look: *look, meanwhile: fewer };
            all.push(less);
        }
    }
    all
}
