//! What is told of an item that isn't synced: a word, and what to do about it.

use super::SkipReason;

impl SkipReason {
    /// A word for scripts and logs.
    pub fn word(&self) -> &'static str {
        match self {
            SkipReason::ReservedName => "reserved-name",
            SkipReason::ReservedBeginning => "reserved-beginning",
            SkipReason::Character(_) => "character",
            SkipReason::ServiceName => "service-name",
            SkipReason::NotUtf8 => "not-utf8",
            SkipReason::NameTooLong => "name-too-long",
            SkipReason::PathTooLong => "path-too-long",
            SkipReason::TooLarge => "too-large",
            SkipReason::MountPoint => "mount-point",
            SkipReason::SymbolicLink => "symbolic-link",
            SkipReason::SpecialFile => "special-file",
            SkipReason::Shortcut => "shortcut",
            SkipReason::OnlineDocument => "online-document",
            SkipReason::NotDownloadable => "not-downloadable",
            SkipReason::NotEncrypted => "not-encrypted",
            SkipReason::ExcludedFolder => "excluded-folder",
            SkipReason::ExcludedName(_) => "excluded-name",
            SkipReason::OverLimit(_) => "over-limit",
            SkipReason::Archived => "archived",
        }
    }

    /// What its word says nothing of: the character, the pattern, or the limit in bytes; empty for
    /// the others.
    pub fn detail(&self) -> String {
        match self {
            SkipReason::Character(character) if character.is_control() => {
                character.escape_default().to_string()
            }
            SkipReason::Character(character) => character.to_string(),
            SkipReason::ExcludedName(pattern) => pattern.to_string(),
            SkipReason::OverLimit(bytes) => bytes.to_string(),
            _ => String::new(),
        }
    }

    /// What to do, for a person who wants it synced.
    pub fn remedy(&self) -> &'static str {
        match self {
            SkipReason::ReservedName | SkipReason::ReservedBeginning => {
                "nothing to do; rename it if it is a file of yours"
            }
            SkipReason::Character(_) => "rename it without that character",
            SkipReason::ServiceName => {
                "rename it; mooring service show SERVICE tells which names the service takes"
            }
            SkipReason::NotUtf8 => "rename it with characters in UTF-8",
            SkipReason::NameTooLong => "shorten its name",
            SkipReason::PathTooLong => {
                "shorten its name or that of a folder it is in, or move it up"
            }
            SkipReason::TooLarge => "split it or keep it elsewhere",
            SkipReason::MountPoint => "make a task of its own for what is mounted there",
            SkipReason::SymbolicLink | SkipReason::Shortcut => {
                "put there what it leads to, or have that synced where it is"
            }
            SkipReason::SpecialFile => "nothing to do; only files and folders can be synced",
            SkipReason::OnlineDocument => {
                "save it as a file there, or see whether mooring service show SERVICE has a task \
                 setting for such documents"
            }
            SkipReason::ExcludedFolder => {
                "nothing to do; mooring task set TASK --include-folder PATH takes it in again"
            }
            SkipReason::ExcludedName(_) => {
                "nothing to do; mooring task set TASK --include PATTERN takes such names in again"
            }
            SkipReason::OverLimit(_) => {
                "nothing to do; mooring task set TASK --max-size raises the limit"
            }
            SkipReason::NotDownloadable => "ask its owner to let it be downloaded",
            SkipReason::Archived => {
                "have the service bring it back from its archive (rehydrate it); then it is synced"
            }
            SkipReason::NotEncrypted => {
                "put it into the task's local folder, or move it out of the encrypted folder"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_word_of_its_own_and_a_remedy() {
        use SkipReason::*;
        let all = [
            ReservedName,
            ReservedBeginning,
            Character(':'),
            ServiceName,
            NotUtf8,
            NameTooLong,
            PathTooLong,
            TooLarge,
            MountPoint,
            SymbolicLink,
            SpecialFile,
            Shortcut,
            OnlineDocument,
            NotDownloadable,
            NotEncrypted,
            ExcludedFolder,
            ExcludedName("*.iso".into()),
            OverLimit(1),
            Archived,
        ];
        let mut words: Vec<_> = all.iter().map(SkipReason::word).collect();
        let is_plain = |b: u8| b.is_ascii_lowercase() || b == b'-' || b == b'8';
        assert!(words.iter().all(|word| word.bytes().all(is_plain)), "{words:?}");
        words.sort();
        words.dedup();
        assert_eq!(words.len(), all.len(), "{words:?}");
        let details = all.iter().map(SkipReason::detail).filter(|it| !it.is_empty());
        assert_eq!(details.collect::<Vec<_>>(), [":", "*.iso", "1"]);
        assert_eq!(Character('\n').detail(), "\\n");
        // A remedy says what to do.
        assert!(all.iter().all(|reason| reason.remedy().contains(' ')));
    }
}
