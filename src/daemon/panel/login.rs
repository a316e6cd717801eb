//! Who is logged in to the panel by its password.

use crate::error::{Error, Kind, Result};
use crate::model::to_hex;
use crate::settings::Book;
use crate::threads;
use heapless::Deque;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{self, Semaphore, oneshot};
use tokio::time::sleep;

/// Sessions at the same time; the oldest gives way to a new one.
const MOST_SESSIONS: usize = 16;
/// A session that isn't used for so long ends.
const LONGEST_REST: Duration = Duration::from_secs(12 * 3600);
/// Passwords that wait to be checked, one at a time.
const MOST_WAITING: usize = 4;
/// The pause after a wrong password; it doubles with each one that follows, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// The sessions, which are in memory only.
pub struct Login {
    sessions: Mutex<Deque<Session, MOST_SESSIONS>>,
    ticket: Mutex<Option<Ticket>>,
    /// Wrong passwords since the last right one. Held while one is checked, and in the pause after.
    wrong: sync::Mutex<u32>,
    waiting: Arc<Semaphore>,
}

/// What stands for the password once: only its hash is kept.
#[derive(Clone, Debug)]
pub struct Ticket([u8; 32]);

impl Ticket {
    /// A new one, and its text for who is to have it.
    ///
    /// # Errors
    /// `State` when there is no randomness.
    pub fn new() -> Result<(Ticket, String)> {
        let text = token()?;
        Ok((Ticket(hash(&text)), text))
    }
}

/// Somebody who gave the password.
struct Session {
    /// Of the token, which only their browser has.
    hash: [u8; 32],
    used: Instant,
}

impl Default for Login {
    fn default() -> Self {
        Login {
            sessions: Mutex::default(),
            ticket: Mutex::default(),
            wrong: sync::Mutex::default(),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        }
    }
}

impl Login {
    /// Begins a session; gives its token.
    ///
    /// # Errors
    /// `SignIn` when it is the wrong password or none was set, `Busy` when too many are tried.
    pub async fn begin(self: &Arc<Self>, book: &Arc<Book>, attempt: String) -> Result<String> {
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            return Err(Error::new(Kind::Busy, "the login", "too many passwords are tried")
                .remedy("try again in a minute"));
        };
        let (tell, told) = oneshot::channel();
        let (login, book) = (self.clone(), book.clone());
        // By itself: who hangs up would have the next guess without a pause.
        tokio::spawn(async move {
            let checked = login.check(book, attempt).await;
            drop(place);
            // Who asked may have left.
            let _ = tell.send(checked);
        });
        told.await.map_err(|_| Error::cancelled())??;
        self.open()
    }

    /// Lets who has this ticket in, once.
    pub fn admit(&self, ticket: Ticket) {
        *self.ticket() = Some(ticket);
    }

    /// Begins a session by a ticket, which is good for nothing afterwards; gives its token.
    ///
    /// # Errors
    /// `SignIn` when it isn't the ticket, or was used.
    pub fn begin_by(&self, text: &str) -> Result<String> {
        let hash = hash(text);
        if self.ticket().take_if(|ticket| ticket.0 == hash).is_none() {
            return Err(Error::new(Kind::SignIn, "the login", "this address was good once")
                .remedy("log in with the password, or begin anew"));
        }
        self.open()
    }

    fn ticket(&self) -> MutexGuard<'_, Option<Ticket>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check(&self, book: Arc<Book>, attempt: String) -> Result<()> {
        let mut wrong = self.wrong.lock().await;
        if is_right(book, attempt).await? {
            *wrong = 0;
            return Ok(());
        }
        *wrong = wrong.saturating_add(1);
        sleep(pause(*wrong)).await;
        Err(Error::new(Kind::SignIn, "the login", "this isn't the password")
            .remedy("try again, or set another: mooring settings password"))
    }

    fn open(&self) -> Result<String> {
        let token = token()?;
        let mut sessions = self.sessions();
        if sessions.is_full() {
            sessions.pop_front();
        }
        // There is room.
        let _ = sessions.push_back(Session { hash: hash(&token), used: Instant::now() });
        Ok(token)
    }

    /// Whether this token is that of a session, which has been used with it.
    pub fn knows(&self, token: &str) -> bool {
        let (hash, now) = (hash(token), Instant::now());
        let mut sessions = self.sessions();
        let Some(session) = sessions.iter_mut().find(|session| session.hash == hash) else {
            return false;
        };
        let is_fresh = now.saturating_duration_since(session.used) < LONGEST_REST;
        if is_fresh {
            session.used = now;
        }
        is_fresh
    }

    /// Ends the session with this token.
    pub fn end(&self, token: &str) {
        let hash = hash(token);
        self.sessions().retain(|session| session.hash != hash);
    }

    /// Ends all sessions.
    pub fn end_all(&self) {
        self.sessions().clear();
    }

    fn sessions(&self) -> MutexGuard<'_, Deque<Session, MOST_SESSIONS>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody guesses it.
fn token() -> Result<String> {
    let mut token = [0; 32];
    let failed = |_| Error::new(Kind::State, "the login", "there is no randomness");
    SystemRandom::new().fill(&mut token).map_err(failed)?;
    Ok(to_hex(&token))
}

/// Compared by their hashes, so that the time it takes tells nothing of a token.
fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// Checks a password aside, as that takes its time.
async fn is_right(book: Arc<Book>, attempt: String) -> Result<bool> {
    let (tell, told) = oneshot::channel();
    let check = move || {
        let right = book.password().and_then(|password| match password {
            Some(password) => Ok(password.is(&attempt)),
            None => Err(Error::new(Kind::SignIn, "the login", "no password has been set")
                .remedy("set one on the command line: mooring settings password")),
        });
        // Who asked may have left.
        let _ = tell.send(right);
    };
    let failed = |error| Error::disk("checking the password", error);
    threads::named("password").spawn(check).map_err(failed)?;
    told.await.map_err(|_| Error::cancelled())?
}

/// The pause after so many wrong passwords.
fn pause(wrong: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << wrong.saturating_sub(1).min(8)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_few_and_end() {
        let login = Login::default();
        let tokens: Vec<_> = (0..=MOST_SESSIONS).map(|_| login.open().unwrap()).collect();
        let known = || tokens.iter().filter(|token| login.knows(token)).count();
        assert!(!login.knows(&tokens[0]) && !login.knows("") && known() == MOST_SESSIONS);
        login.end(&tokens[1]);
        assert!(!login.knows(&tokens[1]) && known() == MOST_SESSIONS - 1);
        if let Some(session) = login.sessions().front_mut()
            && let Some(long_ago) = session.used.checked_sub(LONGEST_REST)
        {
            session.used = long_ago;
        }
        assert!(!login.knows(&tokens[2]) && !login.knows(&tokens[2]));
        login.end_all();
        assert_eq!(known(), 0);
    }

    #[test]
    fn a_ticket_is_good_once() {
        let login = Login::default();
        assert!(login.begin_by("").is_err());
        let (ticket, text) = Ticket::new().unwrap();
        login.admit(ticket);
        assert!(login.begin_by("another").is_err());
        assert!(login.knows(&login.begin_by(&text).unwrap()));
        assert_eq!(login.begin_by(&text).unwrap_err().kind(), Kind::SignIn);
    }

    #[test]
    fn guessing_gets_slower() {
        assert_eq!(
            [1, 2, 3, 4, 5, 6, u32::MAX].map(|it| pause(it).as_secs()),
            [1, 2, 4, 8, 16, 16, 16]
        );
    }
}
