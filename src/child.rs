//! Programs of others that are run for what they print, and streams that are read with a bound on
//! length and time.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks at whether a program has ended that prints no more.
const PAUSE: Duration = Duration::from_micros(200);

/// What a program prints until it ends well. It gets no input.
///
/// # Errors
/// Those of [`answer`], and `Other` when it fails.
pub fn printed(command: &mut Command, most: usize, patience: Duration) -> io::Result<String> {
    match answer(command, most, patience)? {
        (status, printed) if status.success() => Ok(printed),
        (status, _) => Err(io::Error::other(format!("it failed ({status})"))),
    }
}

/// How a program ends, and what it prints until then. It gets no input.
///
/// # Errors
/// Those of starting it, `TimedOut`, `FileTooLarge` when it prints more than `most` bytes, and
/// `Other` when that isn't text.
pub fn answer(
    command: &mut Command,
    most: usize,
    patience: Duration,
) -> io::Result<(ExitStatus, String)> {
    let until = Instant::now() + patience;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let printed = listen(&mut child, most, until);
    // Fails when it has ended.
    let _ = child.kill();
    let status = child.wait()?;
    Ok((status, String::from_utf8(printed?).map_err(io::Error::other)?))
}

fn listen(child: &mut Child, most: usize, until: Instant) -> io::Result<Vec<u8>> {
    let printed = match &mut child.stdout {
        Some(stdout) => read_within(stdout, most + 1, until)?,
        None => Vec::new(),
    };
    if printed.len() > most {
        return Err(ErrorKind::FileTooLarge.into());
    }
    loop {
        match child.try_wait()? {
            Some(_) => return Ok(printed),
            None if Instant::now() >= until => return Err(ErrorKind::TimedOut.into()),
            None => sleep(PAUSE),
        }
    }
}

/// Reads a stream to its end, or `most` bytes of it.
///
/// # Errors
/// `TimedOut` when they haven't come by then.
pub fn read_within(
    stream: &mut (impl Read + AsFd),
    most: usize,
    until: Instant,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while bytes.len() < most {
        wait_for(stream, until)?;
        let room = piece.len().min(most - bytes.len());
        match stream.read(&mut piece[..room]) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

fn wait_for(stream: &impl AsFd, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str, most: usize, patience: Duration) -> Result<String, ErrorKind> {
        let printed = printed(Command::new("/bin/sh").args(["-c", script]), most, patience);
        printed.map_err(|error| error.kind())
    }

    #[test]
    fn what_a_program_prints_is_bounded_in_length_and_time() {
        assert_eq!(shell("cat; echo bob", 4, LONG), Ok("bob\n".into()));
        assert_eq!(shell("true", 4, LONG), Ok(String::new()));
        assert_eq!(shell("echo alice", 4, LONG), Err(ErrorKind::FileTooLarge));
        assert_eq!(shell("yes", 1000, LONG), Err(ErrorKind::FileTooLarge));
        assert_eq!(shell("echo bob; exit 1", 4, LONG), Err(ErrorKind::Other));
        assert_eq!(shell(r"printf '\377'", 4, LONG), Err(ErrorKind::Other));
        let short = Duration::from_millis(20);
        assert_eq!(shell("sleep 60", 4, short), Err(ErrorKind::TimedOut));
        assert_eq!(shell("exec >&-; exec sleep 60", 4, short), Err(ErrorKind::TimedOut));
        let missing = printed(&mut Command::new("/nowhere/at/all"), 4, LONG);
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
